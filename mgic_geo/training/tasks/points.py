"""Clouds to a class for each point."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from mgic_geo.errors import MgicGeoError
from mgic_geo.training._evaluate_points import NO_CLASS, evaluate_points
from mgic_geo.training.config import TrainConfig
from mgic_geo.training.data import PointLabels, Splits, augment
from mgic_geo.training.point_scores import PointScores
from mgic_geo.training.scores import Scores
from mgic_geo.training.tasks.base import class_weights
from mgic_geo.training.tasks.clouds import CloudTask

# Changes of a cloud that mix two, or add points that are not its own.
_WITHOUT_LABELS = ("cut_mix", "rigid_mix", "clusters", "outliers")


class PointTask(CloudTask):
    """Classification of the points of clouds in memory; those without a class count nowhere."""

    scores: ClassVar[type[Scores]] = PointScores
    unit = "shapes"
    counts = "points"

    def __init__(
        self, config: TrainConfig, splits: Splits[PointLabels], device: torch.device
    ) -> None:
        super().__init__(config, splits, device)  # type: ignore[arg-type]
        for name in _WITHOUT_LABELS:
            if getattr(config.augment, name):
                raise MgicGeoError(
                    f"augment.{name} makes points that no label belongs to: set it to 0"
                )

    def _class_weights(self) -> Tensor | None:
        label = self.splits.train.point_label
        return class_weights(label[label != NO_CLASS], self.num_classes, self.config.class_balance)

    def loader(self, num_processes: int) -> DataLoader[Any]:
        train = self.splits.train
        return self._batches(TensorDataset(train.pos, train.point_label), num_processes)

    def batch(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        pos, label = batch
        # as a last column they go where their points go; small whole numbers stay exact
        packed = torch.cat([pos, label.unsqueeze(-1).to(pos.dtype)], dim=-1)
        packed = augment(packed, self.config.augment, generator, self._normals)
        return packed[..., :-1].contiguous(), packed[..., -1].round().long()

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        # not the mean of torch, which is NaN where a whole batch has no class
        total = F.cross_entropy(
            outputs.float().flatten(0, 1),
            target.flatten(),
            self.weight,
            ignore_index=NO_CLASS,
            label_smoothing=self.config.label_smoothing,
            reduction="sum",
        )
        return total / (target != NO_CLASS).sum().clamp_min(1)

    def tally(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, int | Tensor]:
        right = outputs.detach().argmax(dim=-1) == target
        return right.sum(), (target != NO_CLASS).sum()

    def evaluate(self, model: nn.Module, part: PointLabels) -> PointScores:  # type: ignore[override]
        return evaluate_points(model, part, self.num_classes, self.device)
