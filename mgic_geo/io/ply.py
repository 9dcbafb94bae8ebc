"""Clouds as PLY files."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mgic_geo.errors import DataError
from mgic_geo.io.atomic import atomic_write

_TYPES = {"f4": "float", "f8": "double", "u1": "uchar", "i4": "int"}


def write_ply(
    path: str | os.PathLike[str],
    points: ArrayLike,
    colors: ArrayLike | None = None,
    label: ArrayLike | None = None,
    comments: Sequence[str] = (),
) -> None:
    """Writes a point cloud as a binary PLY file, whole or not at all.

    Coordinates are ``float`` where that keeps them to the last bit, and ``double`` otherwise.

    Args:
        path: The file.
        points: Positions ``[N, 3]``.
        colors: Red, green and blue of each point, uint8 ``[N, 3]``.
        label: A whole number for each point, ``[N]``: the property ``label``.
        comments: Lines for the header.

    Raises:
        DataError: Shapes that do not fit each other, or the disk is full.

    Example:
        >>> import numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.io import write_ply
        >>> points = np.random.default_rng(0).random((4, 3))
        >>> with TemporaryDirectory() as folder:
        ...     write_ply(f"{folder}/parts.ply", points, label=[0, 0, 1, 1])
        ...     with open(f"{folder}/parts.ply", "rb") as file:
        ...         header = [next(file).decode().strip() for _ in range(8)]
        >>> header[2:7]
        ['element vertex 4', 'property double x', 'property double y', 'property double z', \
'property int label']
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise DataError(f"{path}: points must be [N, 3], got shape {list(points.shape)}")
    exact = bool((points.astype(np.float32) == points).all())
    fields = [(axis, "<f4" if exact else "<f8") for axis in "xyz"]
    columns = list(points.T)
    if colors is not None:
        shades = np.asarray(colors)
        if shades.shape != points.shape:
            raise DataError(f"{path}: colors must be [N, 3], got shape {list(shades.shape)}")
        fields += [(name, "u1") for name in ("red", "green", "blue")]
        columns += list(shades.T)
    if label is not None:
        numbers = np.asarray(label)
        if numbers.shape != points.shape[:1]:
            raise DataError(f"{path}: label must be [N], got shape {list(numbers.shape)}")
        fields.append(("label", "<i4"))
        columns.append(numbers)
    table = np.empty(len(points), dtype=fields)
    for (name, _), column in zip(fields, columns, strict=True):
        table[name] = column
    lines = ["ply", "format binary_little_endian 1.0"]
    lines += [f"comment {' '.join(comment.split())}" for comment in comments]
    lines.append(f"element vertex {len(points)}")
    lines += [f"property {_TYPES[kind.lstrip('<')]} {name}" for name, kind in fields]
    header = "\n".join([*lines, "end_header", ""])
    with atomic_write(path, "wb") as file:
        file.write(header.encode("ascii", "replace"))
        file.write(table.tobytes())
