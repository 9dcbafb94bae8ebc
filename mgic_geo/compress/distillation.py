"""Training a compressed network to say what the dense one says."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo.compress._calibrate import call, tensors, try_call
from mgic_geo.errors import CheckpointError, MgicGeoError
from mgic_geo.io import atomic_write
from mgic_geo.training.config import TrainConfig
from mgic_geo.training.optim import make_optimizer, make_schedule

Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class DistillResult:
    """How a distillation went.

    Args:
        steps: Steps done, those before a resumption included.
        losses: Of each of them.

    Example:
        >>> DistillResult(steps=2, losses=[0.5, 0.25]).losses[-1]
        0.25
    """

    steps: int
    losses: list[float]


def distill(
    slim: nn.Module,
    teacher: nn.Module,
    loader: Iterable[Any],
    *,
    steps: int,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    warmup: float = 0.1,
    clip_norm: float = 1.0,
    loss: str | Loss = "kl",
    temperature: float = 2.0,
    features: Sequence[str] = (),
    feature_weight: float = 1.0,
    inputs: Callable[[Any], Any] = lambda batch: batch,
    state: str | os.PathLike[str] | None = None,
    save_every: int = 200,
    seed: int = 0,
) -> DistillResult:
    r"""Trains ``slim`` in place on the outputs, and features, of ``teacher``; no labels are needed.

    .. math::
        T^2 \, \mathrm{KL}\left( \sigma(t / T) \,\|\, \sigma(s / T) \right)
        + \lambda \sum_l \frac{\|s_l - t_l\|^2}{\|t_l\|^2}

    by AdamW in one cycle, as :func:`mgic_geo.training.train` has them (`"Distilling the Knowledge
    in a Neural Network" <https://arxiv.org/abs/1503.02531>`_).

    Args:
        slim: What :func:`mgic_geo.compress` made. It is left in the mode that it was in.
        teacher: The dense network; it runs in eval mode and is not changed.
        loader: Batches, run through again and again. Its order should follow from torch's global
            generator, as a ``DataLoader``'s does, for a resumed run to equal an uninterrupted one.
        steps: Steps in all.
        lr: Highest learning rate.
        weight_decay: Of matrices.
        warmup: Share of the steps in which the rate rises.
        clip_norm: Largest norm of the gradient; 0 for any.
        loss: ``"kl"`` for logits on axis 1 (of a ``[B, K]`` or ``[B, K, *]`` output), ``"mse"`` for
            other outputs, relative to the teacher's size; or ``loss(outputs, teacher_outputs)``.
        temperature: :math:`T`.
        features: Names of modules whose outputs are compared, too; both networks have them.
        feature_weight: :math:`\lambda`.
        inputs: What of a batch the models take, for example ``lambda batch: batch[0]``.
        state: File to go on from, and to which the state is written; none is written by default.
        save_every: Steps between two states.
        seed: Of dropout and of the loader's order.

    Returns:
        The losses of the steps.

    Raises:
        MgicGeoError: An option is wrong, or the loader is empty.
        CheckpointError: ``state`` is of another network or run.
        DataError: The models do not take the inputs.

    Example:
        >>> import torch
        >>> teacher, slim = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
        >>> batches = [torch.randn(8, 4) for _ in range(4)]
        >>> len(distill(slim, teacher, batches, steps=2).losses)
        2
    """
    if steps < 1:
        raise MgicGeoError(f"steps = {steps}: at least 1")
    if isinstance(loss, str) and loss not in ("kl", "mse"):
        raise MgicGeoError(f"loss = {loss!r}: use 'kl', 'mse' or a function of both outputs")
    for name in features:
        if any(name not in dict(model.named_modules()) for model in (slim, teacher)):
            raise MgicGeoError(f"features: {name!r} is no module of both networks")
    compare: Loss = _LOSSES[loss](temperature) if isinstance(loss, str) else loss
    config = TrainConfig(lr=lr, weight_decay=weight_decay, warmup=warmup)
    optimizer = make_optimizer(slim, config)
    parts: dict[str, Any] = {
        "model": slim,
        "optimizer": optimizer,
        "schedule": make_schedule(optimizer, config, max(steps, 2)),
    }
    path = None if state is None else Path(state)
    losses = _load(path, parts, steps)
    modes = {module: module.training for model in (slim, teacher) for module in model.modules()}
    teacher.eval()
    slim.train()
    try:
        with torch.random.fork_rng(devices=[]):
            stream = itertools.islice(_endless(loader, seed), len(losses), steps)
            for step, batch in enumerate(stream, len(losses)):
                torch.manual_seed((seed << 32) + step)
                x = inputs(batch)
                with _watch(teacher, features) as wanted, torch.no_grad():
                    target = try_call(teacher, x)
                with _watch(slim, features) as found:
                    value = compare(call(slim, x), target)
                for name in features:
                    value = value + feature_weight * _relative(found[name], wanted[name])
                optimizer.zero_grad()
                value.backward()
                if clip_norm > 0.0:
                    nn.utils.clip_grad_norm_(slim.parameters(), clip_norm)
                optimizer.step()
                parts["schedule"].step()
                losses.append(value.item())
                if path is not None and (len(losses) % save_every == 0 or len(losses) == steps):
                    _save(path, parts, losses, steps)
    finally:
        for module, training in modes.items():
            module.training = training
    return DistillResult(len(losses), losses)


def _kl(temperature: float) -> Loss:
    def loss(outputs: Any, target: Any) -> Tensor:
        parts = [
            F.kl_div(
                F.log_softmax(s / temperature, 1), F.log_softmax(t / temperature, 1),
                reduction="none", log_target=True,
            ).sum(dim=1).mean()
            for s, t in zip(tensors(outputs), tensors(target), strict=True)
            if t.dim() > 1
        ]  # fmt: skip
        return temperature**2 * torch.stack(parts).mean()

    return loss


def _mse(_: float) -> Loss:
    def loss(outputs: Any, target: Any) -> Tensor:
        pairs = zip(tensors(outputs), tensors(target), strict=True)
        return torch.stack([_relative(s, t) for s, t in pairs]).mean()

    return loss


_LOSSES: dict[str, Callable[[float], Loss]] = {"kl": _kl, "mse": _mse}


def _relative(found: Tensor, wanted: Tensor) -> Tensor:
    size = wanted.square().mean().clamp_min(torch.finfo(wanted.dtype).tiny)
    return (found - wanted).square().mean() / size


@contextmanager
def _watch(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """The first tensor that each module returns."""
    found: dict[str, Tensor] = {}

    def see(name: str, output: Any) -> None:
        found[name] = tensors(output)[0]

    handles = [
        model.get_submodule(name).register_forward_hook(lambda _, __, y, name=name: see(name, y))
        for name in names
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _endless(loader: Iterable[Any], seed: int) -> Iterator[Any]:
    for epoch in itertools.count():
        torch.manual_seed((seed << 32) - 1 - epoch)
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise MgicGeoError(
                "the loader has no batch (left): give a list or a DataLoader, which can be run "
                "through more than once"
            )


def _load(path: Path | None, parts: dict[str, Any], steps: int) -> list[float]:
    if path is None or not path.exists():
        return []
    try:
        state = torch.load(path, weights_only=True)
        if state["steps"] != steps:
            raise CheckpointError(
                f"{path}: of a run of {state['steps']} steps, not {steps}; name another file"
            )
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except CheckpointError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0][:160]
        raise CheckpointError(f"{path}: damaged, or of another network ({reason})") from error
    losses: list[float] = state["losses"]
    return losses


def _save(path: Path, parts: dict[str, Any], losses: list[float], steps: int) -> None:
    states = {name: part.state_dict() for name, part in parts.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "wb") as file:
        torch.save({**states, "losses": losses, "steps": steps}, file)
