"""From the name of a data set to normalised clouds for training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mgic_geo.datasets import CloudDataset, open_dataset, train_val_split
from mgic_geo.training.config import AugmentConfig, TrainConfig
from mgic_geo.transforms import augment_clouds, normalize_sphere, subset_clouds


@dataclass(frozen=True)
class Clouds:
    """Labelled clouds, centred and scaled to the unit sphere.

    Args:
        pos: ``[M, n, 3]``.
        label: ``[M]``.
    """

    pos: Tensor
    label: Tensor

    def __len__(self) -> int:
        return self.label.numel()


@dataclass(frozen=True)
class Splits:
    """What a run trains on, chooses its epoch by, and reports at the end.

    Args:
        train: Training part.
        val: Validation part, None if all was trained on.
        test: Test split, None if the data set has none at hand.
        classes: Class names.
    """

    train: Clouds
    val: Clouds | None
    test: Clouds | None
    classes: tuple[str, ...]


def to_clouds(dataset: CloudDataset) -> Clouds:
    """All clouds of a data set, normalised."""
    return Clouds(normalize_sphere(dataset.points), dataset.labels)


def make_splits(config: TrainConfig) -> Splits:
    """Reads the data of a run and puts the validation part aside."""
    dataset = open_dataset(config.data, config.root, num_points=config.num_points)
    clouds = to_clouds(dataset)
    # An npz holds one split, so only the named data sets have a test split to report.
    test = None
    if config.data == "furniture10":
        test = to_clouds(open_dataset(config.data, config.root, "test", config.num_points))
    if config.val_fraction == 0.0:
        return Splits(clouds, None, test, dataset.classes)
    train, val = train_val_split(clouds.label, dataset.names, config.val_fraction)
    parts = [Clouds(clouds.pos[part], clouds.label[part]) for part in (train, val)]
    return Splits(parts[0], parts[1], test, dataset.classes)


def augment(pos: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Changes a training batch ``[B, n, 3]`` at random; dropping leaves ``[B, m, 3]``."""
    if config.drop > 0.0:
        share = 1.0 - config.drop * float(torch.rand((), generator=generator))
        pos = subset_clouds(pos, max(round(pos.size(1) * share), 1), generator)
    return augment_clouds(
        pos,
        generator,
        scale=(1.0 - config.scale, 1.0 + config.scale) if config.scale else None,
        shift=config.shift,
        rotate_degrees=config.rotate_degrees,
        flip=config.flip,
        jitter=config.jitter,
    )
