"""HDF5: one cloud, or a data set in the layout of the ModelNet-40 and ScanObjectNN archives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgic_geo._optional import require
from mgic_geo.errors import DataError
from mgic_geo.io._guard import reading
from mgic_geo.io.apart import read_apart
from mgic_geo.io.cloud import PointCloud, cloud_of_array
from mgic_geo.io.clouds import Clouds, checked_clouds

SUFFIXES = (".h5", ".hdf5")
_POINTS = ("data", "points", "pos", "xyz")
_NAMES = ("shape_names.txt", "classes.txt")  # as the archives have them


def parse_hdf5(data: bytes, path: str | os.PathLike[str]) -> PointCloud:
    """The only cloud of an HDF5 file; not yet checked."""
    found = read_apart("hdf5", data)
    array = _points(found)
    if array.ndim == 3 and len(array) != 1:
        raise DataError(
            f"{path}: holds {len(array):,} clouds; take one out, or use it as a data set"
        )
    cloud = cloud_of_array(array[0] if array.ndim == 3 else array, path)
    normals = found.get("normal")
    if normals is None or normals.size != cloud.points.size:
        return cloud
    return PointCloud(cloud.points, normals.reshape(-1, 3).astype(np.float64))


def load_clouds_h5(path: str | os.PathLike[str], split: str | None = None) -> Clouds:
    """Reads a labelled set of clouds in the layout of ModelNet-40 and ScanObjectNN.

    ``data`` holds the clouds ``[M, n, 3]`` and ``label`` their classes, ``[M]`` or ``[M, 1]``;
    ``normal`` ``[M, n, 3]``, if all files have it, their normals. The
    names of the classes stand in ``shape_names.txt`` beside the file, one a line; without it they
    are numbers.

    Args:
        path: An HDF5 file, or a folder of them: a name with ``test`` in it is of the test split,
            another of the training split.
        split: ``"train"`` or ``"test"``; all files if not given.

    Returns:
        The clouds, points ``[M, n, 3]``.

    Raises:
        DataError: Arrays, shapes, labels or coordinates are not as they should be.
        ImportError: h5py (extra ``mesh``) is not installed.
        OSError: It cannot be opened.

    Example:
        The file is read in a process of its own, which takes half a second to start. ::

            from mgic_geo.io import load_clouds_h5

            clouds = load_clouds_h5("modelnet40_ply_hdf5_2048", split="test")
            clouds.points.shape  # (2468, 2048, 3)
    """
    path = Path(path)
    files = hdf5_files(path, split)
    if not files:
        raise DataError(f"{path}: no HDF5 files of the split {split!r} in it")
    parts = [_labelled(file) for file in files]
    widths = {points.shape[1] for points, _, _ in parts}
    if len(widths) > 1:
        raise DataError(f"{path}: clouds of {' and '.join(map(str, sorted(widths)))} points")
    label = np.concatenate([part for _, part, _ in parts])
    normals = [part for _, _, part in parts if part is not None]
    beside = {"normals": np.concatenate(normals)} if len(normals) == len(parts) else {}
    classes = _classes(files[0].parent, int(label.max()))
    owners = [(file, i) for file, (_, own, _) in zip(files, parts) for i in range(len(own))]
    names = tuple(f"{file.stem}_{i:05d}" for file, i in owners)
    splits = tuple(_split_of(file) for file, _ in owners)
    texts = {"classes": classes, "name": names, "split": splits}
    points = np.concatenate([points for points, _, _ in parts])
    return checked_clouds(points, label, texts, path, beside)


def hdf5_files(path: str | os.PathLike[str], split: str | None = None) -> list[Path]:
    """The file itself, or those of a folder, of one split, sorted by name."""
    path = Path(path)
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    return [file for file in files if split in (None, _split_of(file))]


def _split_of(file: Path) -> str:
    return "test" if "test" in file.stem.lower() else "train"


def _classes(folder: Path, last: int) -> tuple[str, ...]:
    for name in _NAMES:
        file = folder / name
        if file.is_file():
            classes = tuple(file.read_text("utf-8", "replace").split())
            if len(classes) > last:
                return classes
            raise DataError(f"{file}: names {len(classes)} classes, but there is a label {last}")
    return tuple(str(number) for number in range(last + 1))


def _labelled(path: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Clouds, their labels and their normals."""
    require("h5py", extra="mesh")
    data = path.read_bytes()
    with reading(path, "HDF5"):
        found = read_apart("hdf5", data)
        points = _points(found)
    if "label" not in found:
        raise DataError(f"{path}: a data set needs the array 'label'; it has {', '.join(found)}")
    label = found["label"]
    if points.ndim != 3 or points.shape[2] < 3:
        raise DataError(
            f"{path}: its clouds must be numbers of shape [clouds, points, 3], "
            f"not {points.dtype} of {list(points.shape)}"
        )
    if label.dtype.kind not in "iu" or label.size != len(points):
        raise DataError(f"{path}: 'label' must be {len(points)} integers, not {list(label.shape)}")
    normals = found.get("normal")
    points = points[:, :, :3]
    fits = normals is not None and normals.shape == points.shape
    return points, label.reshape(-1).astype(np.int64), normals if fits else None


def _points(found: dict[str, NDArray[Any]]) -> NDArray[Any]:
    names = [name for name in _POINTS if name in found] or list(found)
    return found[names[0]]
