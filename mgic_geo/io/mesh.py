"""Triangle meshes in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mgic_geo.errors import DataError


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh.

    Args:
        vertices: Coordinates, float64 ``[V, 3]``.
        faces: Vertex indices of each triangle, int64 ``[F, 3]``.
        normals: Normals at the vertices as they are in the file, float64 ``[V, 3]``, if it has
            them.
        colors: Red, green and blue in [0, 1] at the vertices, float64 ``[V, 3]``, if it has them.

    Example:
        >>> from mgic_geo.io import Mesh
        >>> mesh = Mesh([[0, 0, 0], [3, 0, 0], [0, 4, 0]], faces=[[0, 1, 2]])
        >>> mesh.area, mesh.vertices.dtype
        (6.0, dtype('float64'))
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    normals: NDArray[np.float64] | None = None
    colors: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", np.asarray(self.vertices, np.float64).reshape(-1, 3))
        object.__setattr__(self, "faces", np.asarray(self.faces, np.int64).reshape(-1, 3))

    def face_areas(self) -> NDArray[np.float64]:
        """Area of each triangle, ``[F]``, in squared units of the coordinates."""
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)

    @property
    def area(self) -> float:
        """Area of the whole surface."""
        return float(self.face_areas().sum())

    def check(self, name: str | os.PathLike[str] = "mesh") -> Mesh:
        """Returns the mesh itself if points can be sampled on it.

        Args:
            name: What the error message calls it, usually its file.

        Raises:
            DataError: It is empty, has NaN or infinite coordinates, faces that point past the
                vertices, or no area.
        """
        count = len(self.vertices)
        if not count or not len(self.faces):
            raise DataError(
                f"{name}: an empty mesh ({count} vertices, {len(self.faces)} triangles); "
                "a surface with at least one triangle is needed"
            )
        check_finite(self.vertices, name, "vertices")
        low, high = int(self.faces.min()), int(self.faces.max())
        if low < 0 or high >= count:
            raise DataError(
                f"{name}: a face points to vertex {low if low < 0 else high}, but the vertices are "
                f"0 to {count - 1}; the file is damaged, get it again or repair it"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            area = self.area
        if not 0 < area < np.inf:
            raise DataError(
                f"{name}: the surface has area {area:g}; points cannot be sampled on it, "
                "check its faces and its scale"
            )
        return self


def check_finite(points: NDArray[np.floating], name: str | os.PathLike[str], what: str) -> None:
    """Raises :class:`DataError` where rows of ``points`` (``[N, 3]``) hold NaN or infinity."""
    bad = int((~np.isfinite(points)).any(axis=1).sum())
    if bad:
        raise DataError(
            f"{name}: {bad} of {len(points)} {what} have NaN or infinite coordinates; "
            "remove or repair them"
        )


def fan_triangles(corners: ArrayLike, sizes: ArrayLike) -> NDArray[np.int64]:
    """Cuts polygons into triangles that share their first corner.

    Args:
        corners: The corners of all polygons, one after the other, ``[sum(sizes)]``.
        sizes: The number of corners of each polygon, ``[F]``; those with fewer than 3 are dropped.

    Returns:
        Triangles ``[T, 3]`` in the order of the polygons.
    """
    corners, sizes = np.asarray(corners, np.int64), np.asarray(sizes, np.int64)
    starts = np.cumsum(sizes) - sizes
    per_polygon = np.maximum(sizes - 2, 0)
    polygon = np.repeat(np.arange(len(sizes)), per_polygon)
    step = np.arange(len(polygon)) - np.repeat(np.cumsum(per_polygon) - per_polygon, per_polygon)
    first, second = starts[polygon], starts[polygon] + step + 1
    return corners[np.stack([first, second, second + 1], axis=1)]
