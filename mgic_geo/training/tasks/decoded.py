"""What tasks of images have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mgic_geo.models import WeightsInfo
from mgic_geo.training.config import TrainConfig
from mgic_geo.training.data import Splits
from mgic_geo.training.preprocess import Preprocess
from mgic_geo.training.tasks.base import Task
from mgic_geo.transforms.images import Augmented, color_jitter, seed_worker


class DecodedTask(Task):
    """A task whose images are normalised by colours and augmented in worker processes."""

    preprocess: Preprocess

    def __init__(self, config: TrainConfig, splits: Splits[Any], device: torch.device) -> None:
        super().__init__(config, splits, device)
        self.augmented: Augmented | None = None

    def set_epoch(self, epoch: int) -> None:
        if self.augmented is not None:
            self.augmented.set_epoch(epoch)

    def _describe(self, task: str, size: int | None) -> None:
        """Sets what comes before the network, and what the weights say of it."""
        given, dataset = self.config.image, self.splits.train
        mean, std = dataset.mean, dataset.std
        if given.mean is not None and given.std is not None:
            mean, std = given.mean, given.std
        self.preprocess = Preprocess(size, mean, std)
        self.info = WeightsInfo(
            self.config.model,
            self.config.model_args(),
            self.splits.classes,
            task=task,
            image_size=size,
            mean=mean,
            std=std,
        )

    def _augmented(self, transform: Any, num_processes: int) -> DataLoader[Any]:
        """The loader of the training part with ``transform`` drawn in worker processes."""
        self.augmented = Augmented(self.splits.train, transform, self.config.seed)
        options = {"num_workers": self._num_workers(), "worker_init_fn": seed_worker}
        return self._batches(self.augmented, num_processes, **options)

    def _finish(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changes the colours of a batch ``[B, 3, H, W]`` at random, then normalises it."""
        strength = self.config.image.color
        if strength != 0.0:
            images = color_jitter(
                images, generator, brightness=strength, contrast=strength, saturation=strength
            )
        return self.preprocess.normalize(images)
