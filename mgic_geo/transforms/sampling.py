"""Points from surfaces; every draw follows from the seed alone."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mgic_geo._optional import require
from mgic_geo.errors import DataError

Seed: TypeAlias = "int | np.random.Generator"
Floats: TypeAlias = "npt.NDArray[np.float64]"


def sample_surface(
    vertices: npt.ArrayLike, faces: npt.ArrayLike, num_points: int, seed: Seed = 0
) -> Floats:
    r"""Draws points uniformly by area from a triangle mesh.

    A face is drawn with probability :math:`A_f / \sum_g A_g`, then a point in it as
    :math:`(1-\sqrt{u})\,a + \sqrt{u}\,(1-v)\,b + \sqrt{u}\,v\,c` with uniform :math:`u, v`.
    Degenerate faces are never drawn.

    Args:
        vertices: Corners, ``[V, 3]``.
        faces: Triangles, ``[F, 3]``, indices into ``vertices``.
        num_points: Number of points.
        seed: Integer, or a generator that is advanced.

    Returns:
        Points ``[num_points, 3]`` in the units of ``vertices``.

    Raises:
        DataError: No face, a face past the vertices, coordinates that are not finite, no area.

    Example:
        >>> from mgic_geo.transforms import sample_surface
        >>> vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
        >>> points = sample_surface(vertices, faces=[[0, 1, 2]], num_points=100, seed=0)
        >>> points.shape, bool((points.sum(axis=1) <= 1.0).all())  # inside the triangle
        ((100, 3), True)
    """
    return surface_places(vertices, faces, num_points, seed)[0]


def surface_places(
    vertices: npt.ArrayLike, faces: npt.ArrayLike, num_points: int, seed: Seed = 0
) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
    """:func:`sample_surface`, and where on the mesh its points are.

    Returns:
        Points ``[num_points, 3]``, the face of each, and its barycentric coordinates there,
        ``[num_points, 3]``.
    """
    rng = np.random.default_rng(seed)
    corner, edge1, edge2 = _triangles(vertices, faces)
    if num_points < 1:
        raise DataError(f"num_points must be at least 1, got {num_points}")
    cumulative = np.cumsum(0.5 * np.linalg.norm(np.cross(edge1, edge2), axis=1))
    if not np.isfinite(cumulative[-1]):
        raise DataError("the mesh has NaN or infinite coordinates; remove or repair those vertices")
    if cumulative[-1] < np.finfo(np.float64).tiny:  # above it, u * total stays below total
        raise DataError(f"the mesh has {len(corner)} faces but no area: nothing to sample")
    draws = rng.random((3, num_points))
    face = np.searchsorted(cumulative, draws[0] * cumulative[-1], side="right")
    root = np.sqrt(draws[1])[:, None]
    share = draws[2][:, None]
    points: Floats = corner[face] + root * ((1.0 - share) * edge1[face] + share * edge2[face])
    weights = np.concatenate([1.0 - root, root * (1.0 - share), root * share], axis=1)
    return points, face, weights


def poisson_disk(
    vertices: npt.ArrayLike, faces: npt.ArrayLike, num_points: int, seed: Seed = 0
) -> Floats:
    """Draws blue-noise points from a triangle mesh: random, yet evenly spread.

    Weighted sample elimination (Yuksel, "Sample Elimination for Generating Poisson Disk Sample
    Sets", 2015) by Open3D (extra ``mesh``), from five times as many points of
    :func:`sample_surface`; so the seed decides alone, not Open3D's global generator.

    Args:
        vertices: Corners, ``[V, 3]``.
        faces: Triangles, ``[F, 3]``, indices into ``vertices``.
        num_points: Number of points, at least 2.
        seed: Integer, or a generator that is advanced.

    Returns:
        Points ``[num_points, 3]`` in the units of ``vertices``.

    Raises:
        DataError: As for :func:`sample_surface`.
        ImportError: Open3D is missing.

    Example:
        It needs Open3D, which is an extra and takes seconds to import. ::

            from mgic_geo.io import read_off
            from mgic_geo.transforms import poisson_disk

            mesh = read_off("chair_0001.off")
            points = poisson_disk(mesh.vertices, mesh.faces, num_points=1024)  # [1024, 3]
    """
    if num_points < 2:
        raise DataError(f"poisson_disk needs num_points of at least 2, got {num_points}")
    open3d = require("open3d", extra="mesh")
    candidates = sample_surface(vertices, faces, 5 * num_points, seed)
    mesh = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(np.asarray(vertices, dtype=np.float64)),
        open3d.utility.Vector3iVector(np.asarray(faces, dtype=np.int32)),
    )
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(candidates))
    kept = mesh.sample_points_poisson_disk(number_of_points=num_points, pcl=cloud)
    return np.asarray(kept.points, dtype=np.float64).copy()


def _triangles(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Returns the first corner and the two edges from it of every face, ``[F, 3]`` each."""
    corners = np.asarray(vertices, dtype=np.float64)
    index = np.asarray(faces)
    if corners.ndim != 2 or corners.shape[1] != 3 or index.ndim != 2 or index.shape[1] != 3:
        raise DataError(
            f"a mesh is vertices [V, 3] and faces [F, 3], got {corners.shape} and {index.shape}"
        )
    if len(index) == 0:
        raise DataError("the mesh has no faces: nothing to sample")
    if index.min() < 0 or index.max() >= len(corners):
        raise DataError(
            f"a face names vertex {index.max() if index.min() >= 0 else index.min()}, "
            f"but the mesh has {len(corners)} vertices (0 to {len(corners) - 1})"
        )
    first, second, third = (corners[index[:, column]] for column in range(3))
    return first, second - first, third - first
