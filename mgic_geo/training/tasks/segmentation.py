"""Images to a class for each pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mgic_geo.datasets.images import ImageDataset
from mgic_geo.errors import MgicGeoError
from mgic_geo.training._evaluate_images import evaluate_segmentation, fit_logits
from mgic_geo.training.config import TrainConfig
from mgic_geo.training.data import Splits
from mgic_geo.training.scores import Scores, SegmentationScores
from mgic_geo.training.tasks.decoded import DecodedTask
from mgic_geo.transforms.images import random_flip, scale_jitter_crop

_LARGEST_CROP = 512
_NO_CLASS = 255


class SegmentationTask(DecodedTask):
    """Classification of pixels; those without a class count nowhere."""

    scores: ClassVar[type[Scores]] = SegmentationScores
    unit = "images"
    counts = "pixels"

    def __init__(
        self, config: TrainConfig, splits: Splits[ImageDataset], device: torch.device
    ) -> None:
        super().__init__(config, splits, device)
        if config.class_balance:
            raise MgicGeoError("class_balance weighs whole images: it is not for segmentation")
        self._describe("segmentation", config.image.image_size)
        ignore = splits.train.ignore_index
        self.ignore_index = _NO_CLASS if ignore is None else ignore

    def loader(self, num_processes: int) -> DataLoader[Any]:
        config = self.config.image
        first, _ = self.splits.train[0]
        side = config.image_size or min(first.shape[1:])
        transform = _ScaleCropFlip(
            config.crop_size or min(side, _LARGEST_CROP),
            config.scale or (0.5, 2.0),
            config.image_size,
            config.flip,
            self.ignore_index,
            255.0 * sum(self.preprocess.mean) / 3.0,
        )
        return self._augmented(transform, num_processes)

    def batch(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        images, masks = batch
        return self._finish(images, generator), masks

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        # not the mean of torch, which is NaN where a whole batch has no class
        total = F.cross_entropy(
            fit_logits(outputs, target).float(),
            target,
            ignore_index=self.ignore_index,
            label_smoothing=self.config.label_smoothing,
            reduction="sum",
        )
        return total / (target != self.ignore_index).sum().clamp_min(1)

    def tally(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, int | Tensor]:
        predicted = fit_logits(outputs.detach(), target).argmax(dim=1)
        return (predicted == target).sum(), (target != self.ignore_index).sum()

    def evaluate(self, model: nn.Module, part: ImageDataset) -> SegmentationScores:
        return evaluate_segmentation(
            model, part, self.preprocess, self.num_classes, self.device, self._num_workers()
        )


@dataclass(frozen=True)
class _ScaleCropFlip:
    """What worker processes do; a class, since they are sent it by pickling."""

    crop: int
    scales: tuple[float, float]
    side: int | None
    flip: float
    ignore_index: int
    fill: float

    def __call__(
        self, image: Tensor, mask: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        factor = 1.0 if self.side is None else self.side / min(image.shape[1:])
        image, mask = scale_jitter_crop(
            image,
            mask,
            self.crop,
            generator,
            (self.scales[0] * factor, self.scales[1] * factor),
            self.ignore_index,
            self.fill,
        )
        return random_flip(image, generator, self.flip, masks=mask.long())
