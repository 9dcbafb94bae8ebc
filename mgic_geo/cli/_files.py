"""A user's own shapes as a data set, with the cache in the right place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mgic_geo.datasets import PointClouds
from mgic_geo.errors import DataError


def open_files(data: str, root: str, split: str | None, **settings: Any) -> PointClouds:
    """Opens an npz file or a folder of shapes; sampled clouds are kept below ``root``.

    Raises:
        DataError: There is nothing of that name.
    """
    source = Path(data)
    if not source.exists():
        raise DataError(
            f"no data set {data!r}: give furniture10, modelnet10, an npz file or a folder of shapes"
        )
    cache = Path(root) / source.resolve().stem
    if cache.resolve() == source.resolve():
        cache = cache.with_name(f"{cache.name}-sampled")  # never among the user's class folders
    return PointClouds(source, cache, split=split, **settings)
