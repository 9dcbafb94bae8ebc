"""What compressed networks are judged on: their data, their dense network, their accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo.io import atomic_write
from mgic_geo.training import TrainConfig
from mgic_geo.training.data import make_splits
from mgic_geo.training.optim import make_optimizer, make_schedule
from mgic_geo.training.tasks import make_task

from ._compress_peers import cents, crepe, narrow_pitch, narrow_resnet20, resnet20, tones
from ._experiment import Context

BATCH = 64
_DENSE = 1200  # steps of the dense ResNet-20, by labels
_FITTED = 8  # batches that layers are fitted to
_SCRATCH = 5  # times the steps of the others, of a narrower network of pitches

Batch = tuple[Tensor, Tensor]
Loss = Callable[[nn.Module, Batch], Tensor]


class Sounds:
    """torchcrepe on sounds whose pitch is known."""

    name: ClassVar[str] = "crepe"
    seeds: ClassVar[int] = 3
    narrow = staticmethod(narrow_pitch)

    def __init__(self, context: Context, seed: int) -> None:
        self.seed, self.folder = seed, context.runs / "compress"
        self.batch = 8 if context.quick else 32
        self.steps = 2 if context.quick else 60
        self.scratch_steps = _SCRATCH * self.steps
        self.model: nn.Module = crepe()
        self.sound, self.pitch = tones(64 if context.quick else 1000, seed=99)
        self.fitted = [tones(self.batch, seed=10_000 + 100 * seed + i)[0] for i in range(_FITTED)]

    def batches(self) -> Iterator[Tensor]:
        """Sounds without end."""
        for step in itertools.count():
            yield tones(self.batch, seed=1_000_000 * (self.seed + 1) + step)[0]

    loss: ClassVar[Any] = staticmethod(F.binary_cross_entropy)

    def learn(self, model: nn.Module, name: str) -> str:
        """Trains a narrower network by the outputs of the dense one."""
        labelled = ((x, self._target(x)) for x in self.batches())
        config = TrainConfig(lr=3e-3, weight_decay=0.0)
        path = self.folder / f"{name}-s{self.seed}.pt"
        learn(model, labelled, _by_outputs, config, self.scratch_steps, path)
        steps = f"{self.scratch_steps} steps of {self.batch}"
        return f"{steps} by the dense network's outputs, from scratch"

    @torch.no_grad()
    def _target(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y

    @torch.no_grad()
    def accuracy(self, model: nn.Module) -> float:
        """Share of the sounds whose pitch is right within 50 cents, in percent."""
        model.eval()
        found = torch.cat([cents(model(part)) for part in self.sound.split(250)])
        return 100.0 * float(((found - self.pitch).abs() < 50.0).float().mean())


class Images:
    """pytorchcv's ResNet-20 on CIFAR-10, trained here first."""

    name: ClassVar[str] = "ResNet-20"
    seeds: ClassVar[int] = 1
    narrow = staticmethod(narrow_resnet20)
    loss: ClassVar[Any] = "kl"

    def __init__(self, context: Context, seed: int) -> None:
        self.config = TrainConfig(
            data="cifar10", source=context.sources.get("cifar10"), val_fraction=0.1,
            model="resnet20", batch_size=8 if context.quick else BATCH, workers=0, lr=3e-3,
            weight_decay=5e-4, label_smoothing=0.0, memory_format="channels_last", seed=seed,
        )  # fmt: skip
        self.splits: Any = make_splits(self.config)
        self.task: Any = make_task(self.config, self.splits, torch.device("cpu"))
        self.batch = self.config.batch_size
        self.dense_steps = 4 if context.quick else _DENSE
        self.steps = 2 if context.quick else 120
        self.folder = context.runs / "compress"
        self.budget = context.budget
        torch.manual_seed(seed)
        self.model = resnet20().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._learn(self.model, self.dense_steps, "dense")
        self.fitted = [x for x, _ in itertools.islice(self._stream(77), _FITTED)]

    def _stream(self, seed: int) -> Iterator[Batch]:
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

    def _learn(self, model: nn.Module, steps: int, name: str) -> None:
        seed = self.config.seed
        path = self.folder / f"{name}-{self.budget}-s{seed}.pt"
        learn(model, self._stream(seed), _by_labels, self.config, steps, path)

    def learn(self, model: nn.Module, name: str) -> str:
        """Trains a narrower network by labels, as long as all of it took."""
        steps = self.dense_steps + self.steps
        self._learn(model, steps, name)
        return f"{steps} steps of {self.batch} by labels, from scratch"

    @torch.no_grad()
    def accuracy(self, model: nn.Module) -> float:
        """Of the 5,000 validation images, in percent."""
        model.eval()
        return 100.0 * float(self.task.evaluate(model, self.splits.val).matrix.accuracy)


Data = Sounds | Images


def _by_labels(model: nn.Module, batch: Batch) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def _by_outputs(model: nn.Module, batch: Batch) -> Tensor:
    return F.binary_cross_entropy(model(batch[0]), batch[1])


def learn(
    model: nn.Module,
    stream: Iterator[Batch],
    loss: Loss,
    config: TrainConfig,
    steps: int,
    path: Path,
) -> None:
    """Trains a network in place, from the state in ``path`` on."""
    optimizer = make_optimizer(model, config)
    parts: dict[str, Any] = {
        "model": model, "optimizer": optimizer,
        "schedule": make_schedule(optimizer, config, steps),
    }  # fmt: skip
    done = 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        done = state["steps"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    model.train()
    for step, batch in enumerate(itertools.islice(stream, done, steps), done + 1):
        value = loss(model, batch)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        parts["schedule"].step()
        if step % 100 == 0 or step == steps:
            print(f"  {path.stem}: step {step}, loss {value.item():.3f}", flush=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, "wb") as file:
                states = {name: part.state_dict() for name, part in parts.items()}
                torch.save({**states, "steps": step}, file)
    model.eval()
