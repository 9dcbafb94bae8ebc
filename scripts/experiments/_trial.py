"""Short training runs of a fixed number of steps, which can be stopped anywhere and taken up."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mgic_geo.io import atomic_write
from mgic_geo.models import create_model
from mgic_geo.training import TrainConfig
from mgic_geo.training.data import Splits
from mgic_geo.training.optim import make_optimizer, make_schedule
from mgic_geo.training.tasks import Task, make_task

_LAST = 100  # steps that the training loss is the mean of
_SAVED = 250  # steps between two states on disk


@dataclass(frozen=True)
class Trial:
    """A network, its recipe, and for how many steps.

    Args:
        config: The recipe; epochs mean nothing here.
        steps: Number of steps, which is also the length of the schedule.
    """

    config: TrainConfig
    steps: int

    @property
    def key(self) -> str:
        """A name of the trial's own: another one after any change of its recipe."""
        described = {**asdict(self.config), "steps": self.steps, "source": None, "root": None}
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.config.model}-s{self.config.seed}-{digest}"


@dataclass
class TrialResult:
    """What a trial has given.

    Args:
        losses: Training loss of each step.
        seconds: Processor time of all steps.
        accuracy: On the validation part, in percent.
    """

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    accuracy: float = 0.0

    def metrics(self) -> dict[str, float]:
        last = self.losses[-_LAST:]
        step = 1e3 * self.seconds / len(self.losses)
        return {"loss": sum(last) / len(last), "accuracy": self.accuracy, "step": step}


def run_trial(trial: Trial, splits: Splits[Any], folder: Path) -> TrialResult:
    """Trains from the last state in ``folder``, or from the start, and evaluates.

    Weights follow from the seed, the images of a step and their changes from the seed and the
    number of the step, so that a trial which was stopped ends as one which was not.

    Args:
        trial: What is trained.
        splits: The data.
        folder: Where states lie.
    """
    config = trial.config
    task = make_task(config, splits, torch.device("cpu"))
    torch.manual_seed(config.seed)
    model: Any = create_model(config.model, num_classes=len(splits.classes), **task.info.model_args)
    if config.memory_format == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, config)
    schedule = make_schedule(optimizer, config, trial.steps)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    result = TrialResult()
    path = folder / f"{trial.key}.pt"
    if path.exists():
        state = torch.load(path, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        result = TrialResult(state["losses"], state["seconds"])
    order = _order(len(task), trial)
    model.train()
    start = time.process_time() - result.seconds
    for step in range(len(result.losses), trial.steps):
        images, label = _batch(task, order[step], step)
        loss = task.loss(model(images), label)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm, foreach=True)
        optimizer.step()
        schedule.step()
        result.losses.append(loss.item())
        result.seconds = time.process_time() - start
        if (step + 1) % _SAVED == 0:
            states = {name: part.state_dict() for name, part in parts.items()}
            with atomic_write(path, "wb") as file:
                torch.save({**states, **asdict(result)}, file)
    result.accuracy = 100.0 * task.evaluate(model, splits.val).matrix.accuracy
    path.unlink(missing_ok=True)
    return result


def _order(count: int, trial: Trial) -> Tensor:
    """The images of each step, ``[steps, B]``: epoch after epoch in random order."""
    generator = torch.Generator().manual_seed(trial.config.seed)
    size = trial.config.batch_size
    epoch = count // size * size
    epochs = -(-trial.steps * size // epoch)
    order = torch.cat([torch.randperm(count, generator=generator)[:epoch] for _ in range(epochs)])
    return order.view(-1, size)[: trial.steps]


def _batch(task: Task, numbers: Tensor, step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed((task.config.seed << 32) + step)
    images, label = task.batch(numbers, generator)
    if task.config.memory_format == "channels_last":
        images = images.contiguous(memory_format=torch.channels_last)
    return images, label
