"""Data sets by what a user calls them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mgic_geo.datasets._base import CloudDataset
from mgic_geo.datasets.clouds import PointClouds
from mgic_geo.datasets.furniture import Furniture10
from mgic_geo.datasets.modelnet import ModelNet10
from mgic_geo.errors import DataError

NAMED_DATASETS = ("furniture10", "modelnet10")


def open_dataset(
    data: str,
    root: str | os.PathLike[str] = "datasets",
    split: str | None = None,
    num_points: int = 1024,
    **settings: Any,
) -> CloudDataset:
    """Opens ``furniture10``, ``modelnet10``, an NPZ file or a folder of shapes.

    Args:
        data: One of those names, or a path.
        root: Folder for downloads and sampled clouds, a folder below it for each data set.
        split: ``"train"`` or ``"test"``; by default the training split of a named data set, and all
            clouds of a file or folder.
        num_points: Points a cloud.
        **settings: Further arguments of the data set's class.

    Raises:
        DataError: There is no such data set, or not this split of it.
    """
    if data == "furniture10":
        return Furniture10(None, split or "train", num_points=num_points, **settings)
    if data == "modelnet10":
        return ModelNet10(Path(root) / data, split or "train", num_points, **settings)
    source = Path(data)
    if not source.exists():
        raise DataError(
            f"no data set {data!r}: give {', '.join(NAMED_DATASETS)}, an npz file or a folder "
            "of shapes"
        )
    cache = Path(root) / source.resolve().stem
    if cache.resolve() == source.resolve():
        cache = cache.with_name(f"{cache.name}-sampled")  # never among the user's class folders
    return PointClouds(source, cache, split=split, num_points=num_points, **settings)
