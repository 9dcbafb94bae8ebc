"""The interface between the training loop and a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from mgic_geo._processors import usable_processors
from mgic_geo.models import WeightsInfo
from mgic_geo.training.config import TrainConfig
from mgic_geo.training.data import Splits
from mgic_geo.training.scores import Scores


class Task(ABC):
    """What the training loop has to know of a domain.

    Args:
        config: The run.
        splits: Its data.
        device: Where the model is.

    Attributes:
        info: What the weights say of themselves.
        scores: The figures that an evaluation gives.
        unit: What examples are called.
        counts: What the confusion matrix counts.
    """

    info: WeightsInfo
    scores: ClassVar[type[Scores]]
    unit: ClassVar[str]
    counts: ClassVar[str]

    def __init__(self, config: TrainConfig, splits: Splits[Any], device: torch.device) -> None:
        self.config, self.splits, self.device = config, splits, device
        self.num_classes = len(splits.classes)
        self.weight: Tensor | None = None

    def __len__(self) -> int:
        """Number of training examples."""
        return len(self.splits.train)

    def check(self, model: nn.Module) -> None:  # noqa: B027
        """Refuses a model that cannot be trained on the data.

        Raises:
            MgicGeoError: What does not fit.
        """

    @abstractmethod
    def loader(self, num_processes: int) -> DataLoader[Any]:
        """Batches of the training part in random order, all of one size."""

    def set_epoch(self, epoch: int) -> None:  # noqa: B027
        """Tells the loader's data which epoch begins, counted from 0."""

    @abstractmethod
    def batch(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Input of the model, changed at random, and target, from what the loader gave."""

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        smoothing = self.config.label_smoothing
        return F.cross_entropy(outputs.float(), target, self.weight, label_smoothing=smoothing)

    def tally(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, int | Tensor]:
        """How many predictions of a batch are right, and of how many."""
        return (outputs.argmax(dim=1) == target).sum(), target.numel()

    @abstractmethod
    def evaluate(self, model: nn.Module, part: Any) -> Scores:
        """The figures of a model on a part of the data."""

    def _batches(
        self, dataset: Dataset[Any], num_processes: int, **options: Any
    ) -> DataLoader[Any]:
        """A loader of ``dataset`` that drops what does not fill a batch of every process."""
        size = min(self.config.batch_size, max(len(self) // num_processes, 1))
        count = len(self)
        if self.config.steps_per_epoch is not None:
            count = min(count, self.config.steps_per_epoch * size * num_processes)
        sampler = RandomSampler(dataset, num_samples=count)  # type: ignore[arg-type]
        return DataLoader(dataset, size, sampler=sampler, drop_last=True, **options)

    def _num_workers(self) -> int:
        workers = self.config.workers
        return min(usable_processors(), 8) if workers is None else workers


def class_weights(label: Tensor, num_classes: int, balance: float) -> Tensor | None:
    r"""Weights :math:`w_c \propto n_c^{-b}` of the classes in the loss, 1 for the mean example.

    Args:
        label: Classes of the training examples, ``[M]``.
        num_classes: Number of classes.
        balance: The power :math:`b`; 0 gives None, 1 gives every class the same share.
    """
    if balance == 0.0:
        return None
    sizes = torch.bincount(label, minlength=num_classes).float()
    weight = sizes.clamp_min(1.0).pow(-balance)
    return weight * (sizes.sum() / (weight * sizes).sum())
