"""What the training loop does differently for clouds, their points, images and masks."""

from typing import Any

import torch

from mgic_geo.training.config import TrainConfig
from mgic_geo.training.data import Clouds, PointLabels, Splits, data_kind
from mgic_geo.training.tasks.base import Task
from mgic_geo.training.tasks.clouds import CloudTask
from mgic_geo.training.tasks.images import ImageTask
from mgic_geo.training.tasks.points import PointTask
from mgic_geo.training.tasks.segmentation import SegmentationTask

__all__ = ["CloudTask", "ImageTask", "PointTask", "SegmentationTask", "Task", "make_task"]


def make_task(config: TrainConfig, splits: Splits[Any], device: torch.device) -> Task:
    """The task that the data are for."""
    if isinstance(splits.train, PointLabels):
        return PointTask(config, splits, device)
    if isinstance(splits.train, Clouds):
        return CloudTask(config, splits, device)
    if data_kind(splits.train) == "masks":
        return SegmentationTask(config, splits, device)
    return ImageTask(config, splits, device)
