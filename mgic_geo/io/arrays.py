"""NumPy's array files, never through pickle, with errors that name the file."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from mgic_geo.errors import DataError
from mgic_geo.io._guard import reading
from mgic_geo.io.cloud import PointCloud, cloud_of_array


@contextmanager
def open_npz(path: str | os.PathLike[str], data: bytes | None = None) -> Iterator[NpzFile]:
    """Opens an NPZ file; damage that shows while it is read is a :class:`DataError` too.

    Args:
        path: The file.
        data: Its content, where it is at hand.

    Raises:
        DataError: It is no NPZ file, or damaged.
        OSError: It cannot be opened.
    """
    # opened here: NumPy leaves the file of a damaged archive open
    with Path(path).open("rb") if data is None else io.BytesIO(data) as file, reading(path, "NPZ"):
        arrays: Any = np.load(file, allow_pickle=False)
        if not isinstance(arrays, NpzFile):
            raise ValueError("it holds a single array, as NPY files do")
        with arrays:
            yield arrays


def parse_npy(data: bytes, path: str | os.PathLike[str]) -> PointCloud:
    """The cloud of an NPY file; not yet checked."""
    array: Any = np.load(io.BytesIO(data), allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it holds several arrays, as NPZ files do")
    return cloud_of_array(array, path)


def parse_npz(data: bytes, path: str | os.PathLike[str]) -> PointCloud:
    """The cloud of an NPZ file, its ``points``, ``pos`` or only array; not yet checked.

    ``normals`` and ``colors`` of the same shape belong to it.
    """
    with open_npz(path, data) as arrays:
        names: list[str] = [name for name in ("points", "pos") if name in arrays.files]
        names = names or (arrays.files if len(arrays.files) == 1 else [])
        if not names:
            raise DataError(
                f"{path}: which array is the cloud? It has {', '.join(arrays.files) or 'none'}; "
                "call it 'points'"
            )
        cloud = cloud_of_array(arrays[names[0]], path)
        beside: dict[str, NDArray[np.float64]] = {
            name: array.astype(np.float64)
            for name in ("normals", "colors")
            if name in arrays.files and (array := arrays[name]).shape == cloud.points.shape
        }
        return PointCloud(
            cloud.points,
            beside.get("normals", cloud.normals),
            beside.get("colors", cloud.colors),
        )
