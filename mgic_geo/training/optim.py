"""Optimisers, learning-rate schedules and weight averages of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mgic_geo.models._classifier import last_layer
from mgic_geo.training.config import TrainConfig

_MOMENTUM = 0.9
_Tensors = tuple[Tensor, ...] | list[Tensor]
_DROPS = (0.3, 0.6, 0.9)  # the paper: every 30 of 100 epochs


def parameter_groups(
    parameters: Iterable[nn.Parameter], weight_decay: float
) -> list[dict[str, Any]]:
    """Parameters for an optimiser: matrices decay, norms and biases do not."""
    parameters = [p for p in parameters if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def make_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """AdamW, or SGD with Nesterov momentum; the body at its share of the learning rate."""
    if config.body_lr == 1.0:
        groups = parameter_groups(model.parameters(), config.weight_decay)
    else:
        last, body = split_parameters(model)
        groups = parameter_groups(last, config.weight_decay)
        for group in parameter_groups(body, config.weight_decay):
            groups.append({**group, "lr": config.lr * config.body_lr})
    # foreach: the same bits, with fewer calls for many small parameters. fused would wake the
    # threads for each parameter, which takes longer than updating it.
    if config.optimizer == "sgd":
        return SGD(groups, lr=config.lr, momentum=_MOMENTUM, nesterov=True, foreach=True)
    return AdamW(groups, lr=config.lr, foreach=True)


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters of the last layer, and all others."""
    last = list(last_layer(model).parameters())
    known = set(map(id, last))
    return last, [p for p in model.parameters() if id(p) not in known]


def freeze_body(model: nn.Module) -> None:
    """Leaves nothing but the last layer to be trained; to be called after ``model.train()``.

    What does not hold the last layer goes to evaluation mode, so that its norms stay as they are.
    """
    kept = {id(m) for m in last_layer(model).modules()}
    for module in model.modules():
        if not any(id(m) in kept for m in module.modules()):
            module.eval()
    for parameter in split_parameters(model)[1]:
        parameter.requires_grad_(False)


def make_schedule(optimizer: Optimizer, config: TrainConfig, steps: int) -> LRScheduler:
    """The learning rate over all steps of the run, as ``config.schedule`` says.

    Args:
        optimizer: What it drives.
        config: The run.
        steps: Steps of the whole schedule.
    """
    if config.schedule == "onecycle":
        return OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            steps,
            pct_start=config.warmup,
            cycle_momentum=config.optimizer == "adamw",
        )
    rise = config.warmup * steps

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        if config.schedule == "step":
            return 0.1 ** sum(step >= share * steps for share in _DROPS)
        return 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))

    return LambdaLR(optimizer, factor)


def make_average(model: nn.Module, config: TrainConfig) -> AveragedModel | None:
    r"""The moving average of the weights that ``config.ema`` asks for.

    :math:`\bar w \leftarrow d_t\,\bar w + (1 - d_t)\,w` after step :math:`t`, with
    :math:`d_t = \min(d, (1 + t) / (10 + t))`.

    The statistics of norms are averaged alike, for they describe the activations of the weights
    beside them. The low :math:`d_t` at first matters to them: they start at 1, which may be a
    hundred times what they measure.

    Args:
        model: The model that is trained, where it is trained.
        config: The run; :math:`d` is its ``ema``, and 0 gives None.
    """
    if config.ema == 0.0:
        return None

    def update(mean: _Tensors, new: _Tensors, steps: Tensor | int) -> None:
        decay = min(config.ema, (1.0 + int(steps)) / (10.0 + int(steps)))
        get_ema_multi_avg_fn(decay)(mean, new, steps)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
