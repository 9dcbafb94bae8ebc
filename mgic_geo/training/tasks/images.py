"""Images to classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mgic_geo.datasets.images import ImageDataset
from mgic_geo.training._evaluate_images import evaluate_images
from mgic_geo.training.config import TrainConfig
from mgic_geo.training.data import Splits
from mgic_geo.training.scores import ImageScores, Scores
from mgic_geo.training.tasks.base import class_weights
from mgic_geo.training.tasks.decoded import DecodedTask
from mgic_geo.transforms.images import (
    random_crop,
    random_erase,
    random_flip,
    random_resized_crop,
)

_SIZE = 224


class ImageTask(DecodedTask):
    """Classification of images.

    Images in memory that already have the network's size are augmented in whole batches on the
    device; others are decoded, cut out and resized one by one in worker processes.
    """

    scores: ClassVar[type[Scores]] = ImageScores
    unit = "images"
    counts = "images"

    def __init__(
        self, config: TrainConfig, splits: Splits[ImageDataset], device: torch.device
    ) -> None:
        super().__init__(config, splits, device)
        images = getattr(splits.train, "images", None)
        own = None if images is None or images.size(2) != images.size(3) else images.size(2)
        size = config.image.image_size or own or _SIZE
        self._describe("images", size)
        self.images = images.to(device) if images is not None and size == own else None
        label = splits.train.labels
        assert label is not None
        weight = class_weights(label, self.num_classes, config.class_balance)
        self.weight = None if weight is None else weight.to(device)
        self.label = label.to(device)

    def loader(self, num_processes: int) -> DataLoader[Any]:
        if self.images is not None:
            return self._batches(_Numbers(len(self)), num_processes, collate_fn=_same)
        scale = self.config.image.scale or (0.08, 1.0)
        transform = _RandomCrop(self.preprocess.size or _SIZE, scale)
        return self._augmented(transform, num_processes)

    def batch(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        config = self.config.image
        if self.images is not None:
            images, label = self.images[batch], self.label[batch]
            if config.padding > 0:
                images = random_crop(images, config.padding, generator)
        else:
            images, label = batch
        if config.flip > 0.0:
            images = random_flip(images, generator, config.flip)
        images = self._finish(images, generator)
        if config.erase > 0.0:
            images = random_erase(images, generator, config.erase)  # 0 is the mean colour now
        return images, label

    def evaluate(self, model: nn.Module, part: ImageDataset) -> ImageScores:
        workers = self._num_workers()
        return evaluate_images(model, part, self.preprocess, self.num_classes, self.device, workers)


@dataclass(frozen=True)
class _RandomCrop:
    """What worker processes do; a class, since they are sent it by pickling."""

    size: int
    scale: tuple[float, float]

    def __call__(
        self, image: Tensor, target: Any, generator: torch.Generator
    ) -> tuple[Tensor, Any]:
        return random_resized_crop(image, self.size, generator, self.scale), target


class _Numbers(Dataset[Any]):
    """The numbers 0 to ``count - 1``, a whole batch at once."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, numbers: list[int]) -> Tensor:
        return torch.tensor(numbers)


def _same(batch: Tensor) -> Tensor:
    return batch
