"""One door for every mesh and cloud format."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgic_geo._optional import require
from mgic_geo.errors import DataError
from mgic_geo.io.arrays import open_npz, read_array
from mgic_geo.io.cloud import check_cloud
from mgic_geo.io.mesh import Mesh
from mgic_geo.io.off import read_off
from mgic_geo.io.pcd import read_pcd


def read_cloud_or_mesh(path: str | os.PathLike[str]) -> Mesh | NDArray[np.float64]:
    """Reads a shape by the suffix of its file.

    ``.off`` and ``.stl`` are meshes, ``.ply`` and ``.obj`` are meshes if they have faces and clouds
    otherwise, ``.pcd``, ``.xyz``, ``.npy`` and ``.npz`` are clouds. PLY, OBJ and STL need the extra
    ``mesh``. An NPZ holds the cloud as ``points``, ``pos`` or its only array; arrays are read
    without pickle.

    Args:
        path: The file.

    Returns:
        The checked :class:`Mesh`, or the points as float64 ``[N, 3]``.

    Raises:
        DataError: The suffix is unknown, or the content is unusable.
        ImportError: The extra is not installed.
        OSError: The file cannot be opened.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: unknown format {path.suffix!r}; known are {', '.join(sorted(_READERS))}"
        )
    return reader(path)


def _read_with_trimesh(path: Path) -> Mesh | NDArray[np.float64]:
    trimesh = require("trimesh", extra="mesh")
    data, kind = path.read_bytes(), path.suffix[1:].lower()
    try:  # from memory: no texture or material file beside it is looked for
        scene = trimesh.load_scene(io.BytesIO(data), file_type=kind, process=False)
        parts: list[Any] = scene.dump(concatenate=False)
    except Exception as error:  # its readers raise whatever a damaged file makes them raise
        raise DataError(
            f"{path}: not a readable {kind.upper()} file ({type(error).__name__}: {error})"
        ) from error
    vertices, faces, offset = [], [], 0
    for part in parts:
        vertices.append(np.asarray(part.vertices, np.float64).reshape(-1, 3))
        faces.append(np.asarray(getattr(part, "faces", ()), np.int64).reshape(-1, 3) + offset)
        offset += len(vertices[-1])
    points = np.concatenate(vertices) if vertices else np.empty((0, 3))
    triangles = np.concatenate(faces) if faces else np.empty((0, 3), np.int64)
    if len(points) and not len(triangles) and kind != "stl":
        return check_cloud(points, path)
    return Mesh(points, triangles).check(path)


def _read_xyz(path: Path) -> NDArray[np.float64]:
    text = path.read_bytes().decode("utf-8", "replace").replace(",", " ").replace(";", " ")
    lines = [line.split("#")[0].split("//")[0].split(None, 3)[:3] for line in text.splitlines()]
    rows = [line for line in lines if line]
    if not rows:
        raise DataError(f"{path}: an empty cloud; at least one line 'x y z' is needed")
    try:
        return check_cloud(np.array(rows, dtype=np.float64), path)
    except DataError:
        raise
    except ValueError:  # worth a second pass: which line is it?
        bad = next(i for i, line in enumerate(lines, 1) if line and not _is_point(line))
        shown = " ".join(lines[bad - 1])[:40]
        raise DataError(f"{path}: line {bad} is not 'x y z' but {shown!r}") from None


def _is_point(line: list[str]) -> bool:
    try:
        return np.array(line, dtype=np.float64).shape == (3,)
    except ValueError:
        return False


def _read_npz(path: Path) -> NDArray[np.float64]:
    with open_npz(path) as arrays:
        names: list[str] = [name for name in ("points", "pos") if name in arrays.files]
        names = names or (arrays.files if len(arrays.files) == 1 else [])
        if not names:
            raise DataError(
                f"{path}: which array is the cloud? It has {', '.join(arrays.files) or 'none'}; "
                "call it 'points'"
            )
        return check_cloud(arrays[names[0]], path)


_READERS: dict[str, Callable[[Path], Mesh | NDArray[np.float64]]] = {
    ".off": read_off,
    ".pcd": read_pcd,
    ".xyz": _read_xyz,
    ".npy": lambda path: check_cloud(read_array(path), path),
    ".npz": _read_npz,
    **dict.fromkeys((".ply", ".obj", ".stl"), _read_with_trimesh),
}
