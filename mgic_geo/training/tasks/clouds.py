"""Clouds to classes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from mgic_geo.errors import MgicGeoError
from mgic_geo.io.features import normals_column
from mgic_geo.models import WeightsInfo, model_task
from mgic_geo.training.config import TrainConfig
from mgic_geo.training.data import Clouds, Splits, augment, by_chance
from mgic_geo.training.evaluate import evaluate_clouds
from mgic_geo.training.scores import CloudScores, Scores
from mgic_geo.training.tasks.base import Task, class_weights
from mgic_geo.transforms import cut_mix_clouds


class CloudTask(Task):
    """Classification of point clouds in memory."""

    scores: ClassVar[type[Scores]] = CloudScores
    unit = "shapes"
    counts = "shapes"

    def __init__(self, config: TrainConfig, splits: Splits[Clouds], device: torch.device) -> None:
        super().__init__(config, splits, device)
        self.info = WeightsInfo(
            config.model,
            config.model_args(),
            splits.classes,
            config.num_points,
            model_task(config.model),
            features=config.feature_names,
        )
        self._normals = normals_column(config.feature_names)
        weight = self._class_weights()
        self.weight = None if weight is None else weight.to(device)

    def _class_weights(self) -> Tensor | None:
        label = self.splits.train.label
        return class_weights(label, self.num_classes, self.config.class_balance)

    def check(self, model: nn.Module) -> None:
        least: int = getattr(model, "min_points", 1)
        count, drop = self.splits.train.pos.size(1), self.config.augment.drop
        if round(count * (1.0 - drop)) < least:
            raise MgicGeoError(
                f"{self.config.model} needs {least} points for its neighbours, and num_points = "
                f"{count} with augment.drop = {drop} may leave fewer: lower its k or the drop"
            )

    def loader(self, num_processes: int) -> DataLoader[Any]:
        train = self.splits.train
        return self._batches(TensorDataset(train.pos, train.label), num_processes)

    def batch(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        pos, label = batch
        config = self.config.augment
        pos = augment(pos, config, generator, self._normals)
        rigid = by_chance(config.rigid_mix, generator)
        if not rigid and not by_chance(config.cut_mix, generator):
            return pos, label
        pos, partner, share = cut_mix_clouds(pos, generator, rigid)
        target = F.one_hot(label, self.num_classes).to(pos.dtype)
        return pos, torch.lerp(target, target[partner], share)

    def tally(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, int | Tensor]:
        """As in :class:`Task`; of a mixed cloud the class with the larger share is right."""
        return super().tally(outputs, target if target.dim() == 1 else target.argmax(dim=1))

    def evaluate(self, model: nn.Module, part: Clouds) -> CloudScores:
        return CloudScores(*evaluate_clouds(model, part, self.num_classes, self.device))
