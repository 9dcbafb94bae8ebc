"""What points have beside their coordinates, as columns."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mgic_geo.errors import DataError
from mgic_geo.io.cloud import PointCloud
from mgic_geo.io.mesh import Mesh

#: Columns of each feature.
FEATURES = {"normals": 3, "colors": 3, "intensity": 1}


def parse_features(text: str | Sequence[str]) -> tuple[str, ...]:
    """Names of features in the order of their columns, from a list or a text with commas.

    Args:
        text: Some of the names in :data:`FEATURES`, in any order.

    Returns:
        The names.

    Raises:
        DataError: There is no such feature, or one is named twice.

    Example:
        >>> from mgic_geo.io import parse_features
        >>> parse_features("normals, intensity")  # 3 columns and 1, behind the coordinates
        ('normals', 'intensity')
    """
    parts = text.split(",") if isinstance(text, str) else text
    names = tuple(part.strip() for part in parts if part.strip())
    if unknown := [name for name in names if name not in FEATURES]:
        raise DataError(f"no feature {unknown[0]!r}: points may have {', '.join(FEATURES)}")
    if len(set(names)) < len(names):
        raise DataError(f"features = {','.join(names)}: one is named twice")
    return names


def feature_width(names: Sequence[str]) -> int:
    """Number of their columns."""
    return sum(FEATURES[name] for name in names)


def normals_column(names: Sequence[str]) -> int | None:
    """The first column of the normals, which turn with the points; None without them."""
    return feature_width(names[: names.index("normals")]) if "normals" in names else None


def cloud_features(
    cloud: PointCloud, names: Sequence[str], name: str | os.PathLike[str]
) -> NDArray[np.float64]:
    """The features of all points side by side, ``[N, F]``; normals have unit length.

    Args:
        cloud: A cloud.
        names: Some of :data:`FEATURES`.
        name: What the message calls the cloud, usually its file.

    Raises:
        DataError: The cloud lacks one, or a value is not finite.
    """
    columns = [np.empty((len(cloud), 0))]
    for feature in names:
        values: NDArray[np.float64] | None = getattr(cloud, feature)
        if values is None:
            raise _lacks(name, feature, cloud)
        if bad := int((~np.isfinite(values)).any(axis=1).sum()):
            raise DataError(f"{name}: {bad} of {len(values)} points have no finite {feature}")
        columns.append(_unit(values) if feature == "normals" else values)
    return np.concatenate(columns, axis=1)


def mesh_features(
    mesh: Mesh,
    names: Sequence[str],
    face: NDArray[np.int64],
    weights: NDArray[np.float64],
    name: str | os.PathLike[str],
) -> NDArray[np.float64]:
    """The features of points on a mesh, between those of the corners of their triangles.

    Normals are those of the triangles where the mesh has none at its vertices.

    Args:
        mesh: A mesh.
        names: Some of :data:`FEATURES`.
        face: The triangle of each point, ``[N]``.
        weights: Barycentric coordinates in it, ``[N, 3]``.
        name: What the message calls the mesh, usually its file.

    Returns:
        ``[N, F]``

    Raises:
        DataError: The mesh lacks one, or a value is not finite.
    """
    corners = mesh.faces[face]
    found = {}
    for feature in names:
        values: NDArray[np.float64] | None = getattr(mesh, feature, None)
        if values is not None:
            found[feature] = (values[corners] * weights[:, :, None]).sum(axis=1)
        elif feature == "normals":
            a, b, c = (mesh.vertices[corners[:, i]] for i in range(3))
            found[feature] = np.cross(b - a, c - a)
        else:
            raise _lacks(name, feature, mesh)
    points = np.zeros((len(face), 3))
    return cloud_features(PointCloud(points, **found), names, name)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same directions with length 1; what has none stays 0."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)  # so that no square vanishes
    vectors = vectors / np.where(largest > 0.0, largest, 1.0)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float64] = vectors / np.where(length > 0.0, length, 1.0)
    return unit


def _lacks(name: str | os.PathLike[str], feature: str, shape: Mesh | PointCloud) -> DataError:
    there = [known for known in FEATURES if getattr(shape, known, None) is not None]
    return DataError(
        f"{name}: has no {feature}, which are asked for; beside coordinates it has "
        f"{' and '.join(there) or 'nothing'}"
    )
