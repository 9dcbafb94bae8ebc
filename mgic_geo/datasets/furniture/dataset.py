"""The ten families as a data set of point clouds."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_geometric.data import Data

from mgic_geo.datasets._base import CloudDataset, as_tensors
from mgic_geo.datasets._cache import SampledClouds, cache_path, load_cache, save_cache
from mgic_geo.errors import DataError
from mgic_geo.io import parse_features
from mgic_geo.io.features import feature_width, mesh_features
from mgic_geo.transforms.sampling import surface_places

from .shapes import CLASSES, SPLITS, furniture_parts, shape_seed

PER_CLASS = {"train": 60, "test": 20}
_VERSION = 1  # goes up when the same seed gives other shapes


class Furniture10(CloudDataset):
    """Procedural furniture with the ten classes of ModelNet-10; made on the spot, no download.

    Items are ``Data(pos=[n, 3], y=[1], name=str)``: points drawn uniformly by area on
    :func:`furniture_mesh`, in metres, z up. Each shape follows from the seed, its split, class and
    number, so the first shapes stay the same when more are asked for.

    Args:
        root: Where to keep the clouds, under ``processed/``; made anew each time if not given.
        split: ``"train"`` or ``"test"``; no shape is in both.
        shapes_per_class: Number of shapes of each class; 60 for training and 20 for testing if not
            given. A thousand shapes take about three seconds.
        num_points: Points a shape.
        seed: Decides everything.
        transform: Called with each item that is taken.
        features: ``"normals"`` or nothing, as in :class:`~mgic_geo.datasets.PointClouds`.

    Attributes:
        classes: The class names, sorted; ``y`` is the index into them.
        names: Name of each shape, such as ``chair_0001``.

    Raises:
        DataError: An unknown split, or a number below one.

    Example:
        >>> from mgic_geo.datasets.furniture import Furniture10
        >>> Furniture10(split="test", shapes_per_class=1, num_points=64)[0].pos.shape
        torch.Size([64, 3])
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        split: str = "train",
        shapes_per_class: int | None = None,
        num_points: int = 1024,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        features: str | Sequence[str] = (),
    ) -> None:
        features = parse_features(features)
        count = shapes_of_class(split, shapes_per_class, num_points, seed)
        sampled = None
        if root is not None:
            settings: dict[str, Any] = {
                "furniture": _VERSION,
                "shapes": count,
                "points": num_points,
                "seed": seed,
            }
            if features:  # without them caches keep their names
                settings["features"] = features
            path = cache_path(root, f"furniture10_{split}", settings)
            sampled = load_cache(path)
        if sampled is None:
            sampled = _sample(split, count, num_points, seed, features)
            if root is not None:  # two processes at once write the same file, each of them whole
                save_cache(path, sampled)
        super().__init__(
            sampled.points, sampled.labels, CLASSES, sampled.names, root, transform, features
        )
        self.split, self.seed = split, seed


def _sample(
    split: str, count: int, num_points: int, seed: int, features: tuple[str, ...]
) -> SampledClouds:
    points, _, names = sample_furniture(split, count, num_points, seed, features, "furniture10")
    labels = np.repeat(np.arange(len(CLASSES)), count)
    return SampledClouds(*as_tensors(points, labels), names)


def shapes_of_class(split: str, shapes_per_class: int | None, num_points: int, seed: int) -> int:
    """How many shapes each class has.

    Raises:
        DataError: An unknown split, or a number below one.
    """
    if split not in SPLITS:
        raise DataError(f"split must be one of {', '.join(SPLITS)}, got '{split}'")
    count = PER_CLASS[split] if shapes_per_class is None else shapes_per_class
    if count < 1 or num_points < 1 or seed < 0:
        raise DataError(
            "shapes_per_class and num_points must be at least 1 and seed at least 0, got "
            f"{count}, {num_points} and {seed}"
        )
    return count


def sample_furniture(
    split: str, count: int, num_points: int, seed: int, features: tuple[str, ...], data: str
) -> tuple[NDArray[np.float32], NDArray[np.int64], tuple[str, ...]]:
    """The points of all shapes ``[M, n, 3 + F]``, the part of each ``[M, n]``, and their names."""
    shape = len(CLASSES) * count, num_points
    points = np.empty((*shape, 3 + feature_width(features)), dtype=np.float32)
    part = np.empty(shape, dtype=np.int64)
    names: list[str] = []
    for index, class_name in enumerate(CLASSES):
        for number in range(1, count + 1):
            rng = np.random.default_rng(shape_seed(seed, split, index, number))
            mesh, of_face = furniture_parts(class_name, rng)
            pos, face, weights = surface_places(mesh.vertices, mesh.faces, num_points, rng)
            beside = mesh_features(mesh, features, face, weights, data)
            points[len(names)] = np.concatenate([pos, beside], axis=1)
            part[len(names)] = of_face[face]
            names.append(f"{class_name}_{number:04d}")
    return points, part, tuple(names)
