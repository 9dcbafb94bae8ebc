"""From the name of a data set to the parts of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from mgic_geo.datasets import (
    NAMED_DATASETS,
    CloudDataset,
    PointLabelDataset,
    novel_split,
    open_dataset,
    train_val_split,
)
from mgic_geo.datasets._novel import FOLDS
from mgic_geo.datasets._open import is_image_data
from mgic_geo.errors import DataError, MgicGeoError
from mgic_geo.models import list_models, model_data
from mgic_geo.training.config import AugmentConfig, TrainConfig
from mgic_geo.transforms import (
    augment_clouds,
    deform_clouds,
    normalize_sphere,
    spoil_clouds,
    subset_clouds,
)
from mgic_geo.transforms.deform import recentred

_SPOILT = ("view", "density", "holes", "clusters", "outliers", "noise")

# Named sets whose official split for validation is the one that is reported.
_OWN_VAL = ("camvid", "cityscapes", "imagenet", "shapenet-part")
# Data sets that are made on the spot, whose test split is at hand.
_MADE = ("furniture10", "furniture10-parts")
_HOLDS = {
    "clouds": "point clouds",
    "point_labels": "point clouds with a class for each point",
    "images": "images with a class each",
    "masks": "images with a class for each pixel",
}
T = TypeVar("T")


@dataclass(frozen=True)
class Clouds:
    """Labelled clouds, centred and scaled to the unit sphere.

    Args:
        pos: Coordinates and, behind them, features, float ``[M, n, 3 + F]``.
        label: Class of each cloud, int64 ``[M]``.

    Example:
        >>> import torch
        >>> from mgic_geo.training import Clouds
        >>> from mgic_geo.transforms import normalize_sphere
        >>> len(Clouds(normalize_sphere(torch.rand(4, 32, 3)), torch.tensor([0, 1, 1, 0])))
        4
    """

    pos: Tensor
    label: Tensor

    def __len__(self) -> int:
        return self.label.numel()

    def take(self, index: Tensor) -> Clouds:
        """The clouds of an index ``[M']``."""
        return Clouds(self.pos[index], self.label[index])


@dataclass(frozen=True)
class PointLabels(Clouds):
    """Clouds with a class for each point, centred and scaled to the unit sphere.

    Args:
        pos: Coordinates and, behind them, features, float ``[M, n, 3 + F]``.
        label: Category of each cloud, int64 ``[M]``.
        point_label: Class of each point, int64 ``[M, n]``; -1 for one without.
        categories: Names of the categories.
        allowed: Classes that a category has, bool ``[K, C]``, where the category is known and
            others are no answer; see :class:`~mgic_geo.datasets.PointLabelDataset`.

    Example:
        >>> import torch
        >>> from mgic_geo.training import PointLabels
        >>> part = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
        >>> clouds = PointLabels(torch.rand(2, 4, 3), torch.tensor([0, 1]), part, ("chair", "sofa"))
        >>> len(clouds), clouds.take(torch.tensor([1])).point_label
        (2, tensor([[1, 1, 1, 0]]))
    """

    point_label: Tensor
    categories: tuple[str, ...]
    allowed: Tensor | None = None

    def take(self, index: Tensor) -> PointLabels:
        """The clouds of an index ``[M']``."""
        pos, label, points = (t[index] for t in (self.pos, self.label, self.point_label))
        return PointLabels(pos, label, points, self.categories, self.allowed)


@dataclass(frozen=True)
class Splits(Generic[T]):
    """What a run trains on, chooses its epoch by, and reports at the end.

    Each part is :class:`Clouds`, :class:`PointLabels`, or a data set of images.

    Args:
        train: Training part.
        val: Validation part, None if all was trained on.
        test: Test split, None if the data set has none at hand.
        classes: Class names.

    Example:
        >>> import torch
        >>> from mgic_geo.training import Clouds, Splits
        >>> train, val = (Clouds(torch.rand(n, 32, 3), torch.zeros(n).long()) for n in (8, 2))
        >>> splits = Splits(train, val, test=None, classes=("chair", "sofa"))
        >>> len(splits.train), splits.test is None
        (8, True)
    """

    train: T
    val: T | None
    test: T | None
    classes: tuple[str, ...]


def to_clouds(dataset: CloudDataset) -> Clouds:
    """All clouds of a data set, centred and scaled to the unit sphere.

    Args:
        dataset: Clouds ``[M, n, 3]`` with their labels, and perhaps features.

    Returns:
        The clouds that :func:`train` and :func:`evaluate_clouds` take; :class:`PointLabels` of a
        :class:`~mgic_geo.datasets.PointLabelDataset`.

    Example:
        >>> from mgic_geo.datasets import Furniture10
        >>> from mgic_geo.training import to_clouds
        >>> clouds = to_clouds(Furniture10(None, num_points=32, shapes_per_class=1))
        >>> clouds.pos.shape, float(clouds.pos.norm(dim=-1).max().round(decimals=5))
        (torch.Size([10, 32, 3]), 1.0)
    """
    pos = normalize_sphere(dataset.points)
    if dataset.feature_names:
        pos = torch.cat([pos, dataset.features], dim=2)
    if isinstance(dataset, PointLabelDataset):
        points = dataset.point_labels
        return PointLabels(pos, dataset.labels, points, dataset.categories, dataset.allowed)
    return Clouds(pos, dataset.labels)


def make_splits(config: TrainConfig) -> Splits[Any]:
    """Reads the data of a run and puts the validation part aside.

    Args:
        config: The run; its ``data``, ``root``, ``val_fraction``, ``val_data`` and ``per_class``
            say what is read.

    Returns:
        Training, validation and test part, each :class:`Clouds` or a data set of images.

    Raises:
        MgicGeoError: The model of the run is for other data.
        DataError: The data cannot be used, or the two parts have different classes.

    Example:
        >>> import numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.training import TrainConfig, make_splits
        >>> points, label = np.random.default_rng(0).random((8, 32, 3)), [0, 0, 0, 0, 1, 1, 1, 1]
        >>> with TemporaryDirectory() as folder:
        ...     path = f"{folder}/scans.npz"
        ...     np.savez(path, points=points, label=label, classes=["bolt", "nut"])
        ...     config = TrainConfig(data=path, root=folder, num_points=32, val_fraction=0.25)
        ...     splits = make_splits(config)
        >>> len(splits.train), len(splits.val), splits.classes  # one of each class is put aside
        (6, 2, ('bolt', 'nut'))
    """
    own_val = _has_val(config)
    dataset = _open(config, "train" if own_val else None)
    kind, wanted = data_kind(dataset), model_data(config.model)
    if kind != wanted:
        there = [name for name in list_models() if model_data(name) == kind]
        raise MgicGeoError(
            f"{config.data} holds {_HOLDS[kind]}, and the model {config.model} is for "
            f"{_HOLDS[wanted]}; choose one of {', '.join(there)}"
        )
    train, val, test = _ready(dataset), None, None
    if config.fold is not None:
        if kind != "clouds":
            raise MgicGeoError(f"fold is for point clouds, and {config.data} holds {_HOLDS[kind]}")
        parts = novel_split(train.pos[..., :3], train.label, dataset.names, config.fold)
        if not len(parts[1]):
            raise DataError(
                f"fold {config.fold} of {config.data} is empty: its classes have fewer than "
                f"{FOLDS} shapes; use val_fraction"
            )
        train, val = (_take(train, part) for part in parts)
    elif config.val_data is not None or own_val:
        other = _open_val(config)
        where = config.val_data or config.data
        if data_kind(other) != kind or other.classes != dataset.classes:
            raise DataError(
                f"{where}: its classes are {', '.join(other.classes)}, those of the training part "
                f"{', '.join(dataset.classes)}; they must be the same"
            )
        if config.val_data is None and other.names == dataset.names:
            raise DataError(f"{where}: there is one split alone; name another by val_data")
        val = _ready(other)
    elif config.val_fraction > 0.0:
        parts = split_by_name(dataset, config.val_fraction)
        train, val = (_take(train, part) for part in parts)
    if config.per_class is not None:
        train = _take(train, _first_of_each(train, config.per_class))
    # An npz holds one split, so only the named data sets have a test split to report.
    if config.data in _MADE:
        test = _ready(_open(config, "test"))
    return Splits(train, val, test, dataset.classes)


def split_by_name(dataset: Any, fraction: float) -> tuple[Tensor, Tensor]:
    """Puts the last part by name of each class of a data set aside.

    See :func:`~mgic_geo.datasets.train_val_split`. Images with masks have no single class, and are
    split by name alone.

    Args:
        dataset: Clouds ``[M, n, 3]`` or images.
        fraction: Share of each class, in ``[0, 1)``.

    Returns:
        Indices for training ``[M']`` and for validation ``[M'']``, ascending, int64.

    Raises:
        ValueError: ``fraction`` is out of range.

    Example:
        >>> from mgic_geo.datasets import Furniture10
        >>> from mgic_geo.training import split_by_name
        >>> dataset = Furniture10(None, num_points=16, shapes_per_class=2)
        >>> train, val = split_by_name(dataset, fraction=0.5)
        >>> len(train), len(val)
        (10, 10)
    """
    labels = torch.zeros(len(dataset)) if data_kind(dataset) == "masks" else dataset.labels
    return train_val_split(labels, dataset.names, fraction)


def _open(config: TrainConfig, split: str | None) -> Any:
    settings = {} if config.source is None else {"source": config.source}
    if config.features:
        if is_image_data(config.data):
            raise MgicGeoError(f"features = {config.features}: {config.data} holds images")
        settings["features"] = config.features
    return open_dataset(config.data, config.root, split, config.num_points, **settings)


def _open_val(config: TrainConfig) -> Any:
    if config.val_data is None:
        return _open(config, "val")
    if config.data in NAMED_DATASETS:  # more of the same, from another place
        return _open(replace(config, source=config.val_data), None)
    return _open(replace(config, data=config.val_data), None)


def _has_val(config: TrainConfig) -> bool:
    """Whether the data set has a split of its own to choose the epoch by."""
    if config.val_data is not None or config.val_fraction == 0.0:
        return False
    folder = Path(config.data)
    return config.data in _OWN_VAL or all((folder / part).is_dir() for part in ("train", "val"))


def _ready(dataset: Any) -> Any:
    return to_clouds(dataset) if isinstance(dataset, CloudDataset) else dataset


def _first_of_each(part: Any, count: int) -> Tensor:
    """The first examples of each class."""
    labels = part.label if isinstance(part, Clouds) else part.labels
    if labels is None:
        raise MgicGeoError(f"per_class = {count}: images with masks are of no single class")
    chosen = [(labels == c).nonzero().flatten()[:count] for c in labels.unique()]
    return torch.cat(chosen).sort().values


def _take(part: Any, index: Tensor) -> Any:
    if isinstance(part, Clouds):
        return part.take(index)
    return part.subset(index.tolist())


def data_kind(dataset: Any) -> str:
    """What a data set holds, as :func:`mgic_geo.models.model_data` says it."""
    if isinstance(dataset, PointLabelDataset):
        return "point_labels"
    if isinstance(dataset, CloudDataset):
        return "clouds"
    return "masks" if dataset.kind == "segmentation" else "images"


def augment(
    pos: Tensor, config: AugmentConfig, generator: torch.Generator, normals: int | None = None
) -> Tensor:
    """Changes a training batch at random, as ``config`` says.

    Args:
        pos: Clouds ``[B, n, 3 + F]``, in the unit sphere.
        config: What is changed, and by how much.
        generator: Source of all draws.
        normals: First column, behind the coordinates, of the normals, which turn with them.

    Returns:
        Clouds ``[B, m, 3 + F]``, with ``m < n`` points where some are dropped.

    Example:
        >>> import torch
        >>> from mgic_geo.training import AugmentConfig, augment
        >>> config = AugmentConfig(drop=0.5, drop_min=0.5)
        >>> augment(torch.rand(4, 32, 3), config, torch.Generator().manual_seed(0)).shape
        torch.Size([4, 16, 3])
    """
    count = pos.size(1)
    if config.drop > 0.0:
        span = config.drop - config.drop_min
        share = config.drop_min + span * float(torch.rand((), generator=generator))
        count = max(round(count * (1.0 - share)), 1)
    if by_chance(config.deform, generator):
        pos = torch.cat([deform_clouds(pos[..., :3], generator), pos[..., 3:]], dim=2)
    spoilt = {name: getattr(config, name) for name in _SPOILT}
    if any(spoilt.values()):
        pos = spoil_clouds(pos, count, generator, spoilt=config.spoilt, **spoilt)
        if by_chance(config.center, generator):
            pos = torch.cat([recentred(pos[..., :3]), pos[..., 3:]], dim=2)
    elif count < pos.size(1):
        pos = subset_clouds(pos, count, generator)
    return augment_clouds(
        pos,
        generator,
        scale=(1.0 - config.scale, 1.0 + config.scale) if config.scale else None,
        shift=config.shift,
        rotate_degrees=config.rotate_degrees,
        flip=config.flip,
        jitter=config.jitter,
        tilt_degrees=config.tilt_degrees,
        normals=normals,
    )


def by_chance(probability: float, generator: torch.Generator) -> bool:
    """Whether it happens; nothing is drawn for what is off, so that recipes keep their numbers."""
    return probability > 0.0 and float(torch.rand((), generator=generator)) < probability
