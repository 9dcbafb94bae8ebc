"""One door for every mesh and cloud format."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mgic_geo._optional import require
from mgic_geo.errors import DataError
from mgic_geo.io._guard import reading
from mgic_geo.io.arrays import parse_npy, parse_npz
from mgic_geo.io.cloud import OnNan, PointCloud, cloud_of_array
from mgic_geo.io.hdf5 import parse_hdf5
from mgic_geo.io.las import parse_las
from mgic_geo.io.mesh import Mesh
from mgic_geo.io.meshes import parse_with_trimesh
from mgic_geo.io.off import parse_off
from mgic_geo.io.pcd import parse_pcd
from mgic_geo.io.text import parse_text
from mgic_geo.io.thin import MANY, thin_file

_GZIP = ".gz"


class _Format(NamedTuple):
    """How a format is read, and by which libraries of the extra ``mesh``."""

    parse: Callable[[bytes, Path], Mesh | PointCloud]
    needs: tuple[str, ...] = ()


_FORMATS: dict[str, _Format] = {
    ".off": _Format(parse_off),
    ".pcd": _Format(parse_pcd),
    ".npy": _Format(parse_npy),
    ".npz": _Format(parse_npz),
    **dict.fromkeys((".xyz", ".txt", ".csv", ".pts"), _Format(parse_text)),
    **{
        f".{kind}": _Format(partial(parse_with_trimesh, kind=kind), ("trimesh",))
        for kind in ("ply", "obj", "stl", "glb", "gltf")
    },
    ".las": _Format(parse_las, ("laspy",)),
    ".laz": _Format(parse_las, ("laspy", "lazrs")),
    **dict.fromkeys((".h5", ".hdf5"), _Format(parse_hdf5, ("h5py",))),
}
#: Suffixes of the formats that are read; each may be followed by ``.gz``.
SHAPE_SUFFIXES = tuple(_FORMATS)


def shape_suffix(path: str | os.PathLike[str]) -> str:
    """The suffix that says the format of a file, in small letters, without that of gzip.

    Args:
        path: A file, which need not exist.

    Returns:
        The suffix with its dot, or ``""``.

    Example:
        >>> from mgic_geo.io import shape_suffix
        >>> shape_suffix("scans/Chair.PLY.gz")
        '.ply'
    """
    path = Path(path)
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix == _GZIP else suffix


def read_shape(
    path: str | os.PathLike[str],
    on_nan: OnNan = "drop",
    most: int | None = None,
    seed: int = 0,
) -> Mesh | PointCloud:
    r"""Reads a shape by the suffix of its file, with its normals, colours and intensities.

    ``.off``, ``.stl``, ``.glb`` and ``.gltf`` are meshes, ``.ply`` and ``.obj`` are meshes if they
    have faces and clouds otherwise. ``.pcd``, ``.npy``, ``.npz``, ``.xyz``, ``.txt``, ``.csv``,
    ``.pts``, ``.las``, ``.laz``, ``.h5`` and ``.hdf5`` are clouds. Any of them may be compressed
    (``.ply.gz``). All but NumPy, text, OFF and PCD files need the extra ``mesh``. An NPZ
    holds the cloud as ``points``, ``pos`` or its only array; arrays are read without pickle, may
    have fields x, y and z, and hold a point in each row.

    Args:
        path: The file.
        on_nan: What becomes of points of a cloud with NaN or infinite positions, which depth
            cameras write where they see nothing: ``"drop"`` leaves them out, with one warning that
            says how many; ``"raise"`` refuses the cloud.
        most: Of a cloud of more than 1,048,576 points keep so many, drawn at random. Files of NPY,
            PLY, PCD, LAS and text are read in pieces, with a bar where the error output is a
            terminal, so that memory does not grow with the file.
        seed: Seed of the draw.

    Returns:
        The checked :class:`Mesh` or :class:`PointCloud`.

    Raises:
        DataError: The suffix is unknown, or the content is unusable.
        ImportError: The extra is not installed.
        OSError: The file cannot be opened.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.io import read_shape
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "scan.xyz"
        ...     _ = path.write_text("0 0 0\n1 0 0\n0 0 2\n")
        ...     cloud = read_shape(path)
        >>> type(cloud).__name__, len(cloud)
        ('PointCloud', 3)
    """
    path = Path(path)
    suffix = shape_suffix(path)
    if suffix not in _FORMATS:
        raise DataError(
            f"{path}: unknown format {suffix or path.suffix!r}; known are "
            f"{', '.join(sorted(_FORMATS))}"
        )
    parse, needs = _FORMATS[suffix]
    for module in needs:
        require(module, extra="mesh")
    part = None
    if most is not None:
        with reading(path, suffix[1:].upper()):
            part = thin_file(path, suffix, most, seed)
    data = path.read_bytes() if part is None else part
    if part is None and path.suffix.lower() == _GZIP:
        with reading(path, "gzip"):
            data = gzip.decompress(data)
    with reading(path, suffix[1:].upper(), needs):
        shape = parse(data, path)
    if isinstance(shape, Mesh):
        return shape.check(path)
    return _thinned(shape.check(path, on_nan), most, seed)


def _thinned(cloud: PointCloud, most: int | None, seed: int) -> PointCloud:
    """A random part of a cloud that has very many points."""
    if most is None or len(cloud) <= max(most, MANY):
        return cloud
    index = np.random.default_rng(seed).choice(len(cloud), most, replace=False)
    return replace(cloud.take(np.sort(index)), left_out=cloud.left_out)


def read_cloud_or_mesh(
    path: str | os.PathLike[str], on_nan: OnNan = "drop"
) -> Mesh | NDArray[np.float64]:
    """Reads a shape as :func:`read_shape` does, of a cloud the positions alone.

    Args:
        path: The file.
        on_nan: As for :func:`read_shape`.

    Returns:
        The checked :class:`Mesh`, or the points as float64 ``[N, 3]``.

    Raises:
        DataError: The suffix is unknown, or the content is unusable.
        ImportError: The extra is not installed.
        OSError: The file cannot be opened.

    Example:
        >>> import numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.io import read_cloud_or_mesh
        >>> with TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/scan.npy", np.random.default_rng(0).random((8, 3)))
        ...     read_cloud_or_mesh(f"{folder}/scan.npy").shape
        (8, 3)
    """
    shape = read_shape(path, on_nan)
    return shape if isinstance(shape, Mesh) else shape.points


def as_shape(
    shape: Any, on_nan: OnNan = "drop", name: str = "shape", most: int | None = None
) -> Mesh | PointCloud:
    """Turns any Python object that holds a shape into a mesh or a cloud.

    Args:
        shape: A path, an array or tensor ``[N, >= 3]``, a :class:`Mesh` or :class:`PointCloud`, a
            ``torch_geometric.data.Data`` (a mesh if it has ``face``), an
            ``open3d.geometry.PointCloud`` or ``TriangleMesh``, or a ``trimesh.Trimesh``.
        on_nan: As for :func:`read_shape`.
        name: What an error message calls it.
        most: As for :func:`read_shape`.

    Returns:
        A checked :class:`Mesh` or :class:`PointCloud`.

    Raises:
        DataError: It is none of these, or unusable.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.io import as_shape
        >>> len(as_shape(torch.rand(8, 3)))
        8
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        >>> as_shape(Data(pos=pos, face=torch.tensor([[0], [1], [2]]))).area
        0.5
    """
    if isinstance(shape, str | os.PathLike):
        return read_shape(shape, on_nan, most)
    pos, points, vertices = (_numbers(shape, key) for key in ("pos", "points", "vertices"))
    if isinstance(shape, Mesh | PointCloud):
        found: Mesh | PointCloud = shape
    elif pos is not None:  # Data of PyG
        face = _numbers(shape, "face")
        parts = [_rows(_numbers(shape, key), len(pos)) for key in ("normal", "color")]
        found = (
            PointCloud(pos, parts[0], parts[1])
            if face is None
            else Mesh(pos, face.T.astype(np.int64), *parts)
        )
    elif points is not None:  # PointCloud of Open3D, whose attributes are empty where there is none
        parts = [_rows(_numbers(shape, key), len(points)) for key in ("normals", "colors")]
        found = PointCloud(points, parts[0], parts[1])
    elif vertices is not None:
        faces = _numbers(shape, "faces")
        faces = _numbers(shape, "triangles") if faces is None else faces  # of Open3D
        corners = np.asarray(() if faces is None else faces, np.int64)
        found = Mesh(vertices, corners, *_vertex_attributes(shape, len(vertices)))
    else:
        found = cloud_of_array(_array(shape), name)
    if isinstance(found, Mesh):
        return found.check(name)
    return _thinned(found.check(name, on_nan), most, seed=0)


def _rows(values: NDArray[np.float64] | None, count: int) -> NDArray[np.float64] | None:
    """Three values for each of ``count`` points, or None: Open3D has empty ones for none."""
    return None if values is None or values.shape != (count, 3) else values


def _vertex_attributes(shape: Any, count: int) -> list[NDArray[np.float64] | None]:
    """Normals and colours of the vertices of a mesh of Open3D or trimesh."""
    visual = getattr(shape, "visual", None)
    if visual is None:  # Open3D
        found = (_numbers(shape, key) for key in ("vertex_normals", "vertex_colors"))
        return [_rows(part, count) for part in found]
    given = "vertex_normals" in getattr(shape, "_cache", ())  # trimesh computes them otherwise
    colors = None
    if getattr(visual, "kind", None) == "vertex":
        colors = _array(visual.vertex_colors).astype(np.float64)[:, :3] / 255.0
    return [_rows(_numbers(shape, "vertex_normals") if given else None, count), colors]


def _numbers(shape: Any, key: str) -> NDArray[np.float64] | None:
    value = getattr(shape, key, None)
    return None if value is None or callable(value) else _array(value).astype(np.float64)


def _array(value: Any) -> NDArray[Any]:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
