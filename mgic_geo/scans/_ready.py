"""From a shape as it comes to the clouds that a network judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.io import FEATURES, Mesh, PointCloud
from mgic_geo.io.features import normals_column
from mgic_geo.scans.floor import find_floor
from mgic_geo.scans.objects import find_objects
from mgic_geo.scans.strays import find_strays
from mgic_geo.scans.upright import turn_upright

if TYPE_CHECKING:
    from mgic_geo.models import WeightsInfo

#: What may be left out of a cloud before it is judged.
CLEAN = ("strays", "floor")
_OF_MESH = 1 << 14  # points that tell the objects of a mesh
_FLAT = 5e-3  # share of the width that a cloud is deep, at least
Box: TypeAlias = tuple[tuple[float, float, float], tuple[float, float, float]]


class Ready(NamedTuple):
    """A cloud ``pos [n, 3 + F]`` for the network, and what was found out on the way."""

    pos: Tensor
    kind: str
    num_points: int
    up: str
    box: Box
    strays: int
    floor: int


class Cleaned(NamedTuple):
    """A shape, and how many points it has lost."""

    shape: Mesh | PointCloud
    strays: int = 0
    floor: int = 0


def make_ready(
    shape: Mesh | PointCloud,
    info: WeightsInfo,
    axes: Sequence[str],
    clean: Sequence[str],
    num_points: int | None,
    seed: int,
    name: str,
) -> list[Ready]:
    """The shape as it is with each of the axes up: cleaned, sampled, turned and scaled.

    Raises:
        DataError: It is unusable, or lacks features that the weights need.
    """
    kept = _without_strays(shape, clean)
    return [
        _sampled(_without_floor(kept, up, clean), info, up, num_points, seed, name) for up in axes
    ]


def split_objects(
    shape: Mesh | PointCloud,
    info: WeightsInfo,
    up: str,
    clean: Sequence[str],
    seed: int,
    name: str,
) -> list[Cleaned]:
    """The objects of a scan, the largest first; what is noise counts among the stray points.

    Raises:
        DataError: There is none, or features are missing.
    """
    if isinstance(shape, Mesh):
        shape = _cloud_of_mesh(shape, info.features, seed, name)
    cleaned = _without_floor(_without_strays(shape, clean), up, clean)
    cloud = cleaned.shape
    assert isinstance(cloud, PointCloud)
    label = find_objects(turn_upright(cloud.points, up), seed=seed)
    if label.max() < 0:
        raise DataError(f"{name}: its points are scattered, none of them form an object")
    strays = cleaned.strays + int((label < 0).sum())
    return [
        Cleaned(cloud.take(label == number), strays, cleaned.floor)
        for number in range(int(label.max()) + 1)
    ]


def count_objects(pos: Tensor) -> int:
    """How many objects a cloud looks like, at least one; z is up."""
    return max(1, int(find_objects(pos[:, :3].double().numpy()).max()) + 1)


def is_flat(pos: Tensor) -> bool:
    """Whether all points lie in one plane, or nearly."""
    centred = (pos[:, :3] - pos[:, :3].mean(dim=0)).double()
    depth = torch.linalg.svdvals(centred)
    return len(depth) < 3 or bool(depth[2] <= _FLAT * depth[0])


def _without_strays(shape: Mesh | PointCloud, clean: Sequence[str]) -> Cleaned:
    if isinstance(clean, str) or (unknown := [word for word in clean if word not in CLEAN]):
        wrong = clean if isinstance(clean, str) else unknown[0]
        raise DataError(f"clean = {wrong!r}: a list of some of {', '.join(CLEAN)}")
    if isinstance(shape, Mesh) or "strays" not in clean:
        return Cleaned(shape)
    strays = find_strays(shape.points)
    return Cleaned(shape.take(~strays) if strays.any() else shape, int(strays.sum()))


def _without_floor(cleaned: Cleaned, up: str, clean: Sequence[str]) -> Cleaned:
    """The floor below, and the stray points that it leaves behind."""
    shape = cleaned.shape
    if isinstance(shape, Mesh) or "floor" not in clean:
        return cleaned
    floor = find_floor(turn_upright(shape.points, up))
    if not floor.any():
        return cleaned
    rest = _without_strays(shape.take(~floor), clean)
    return Cleaned(rest.shape, cleaned.strays + rest.strays, int(floor.sum()))


def _sampled(
    cleaned: Cleaned, info: WeightsInfo, up: str, num_points: int | None, seed: int, name: str
) -> Ready:
    from mgic_geo.datasets._sampling import sample_points

    shape = cleaned.shape
    if num_points is None:
        num_points = info.num_points
        if isinstance(shape, PointCloud):
            num_points = min(num_points, len(shape))
    points = sample_points(shape, num_points, seed=seed, name=name, features=info.features)
    solid = isinstance(shape, Mesh)
    box = _box(shape.vertices if isinstance(shape, Mesh) else shape.points)
    kind = "mesh" if solid else "cloud"
    pos = for_network(points, info.features, up)
    return Ready(pos, kind, num_points, up, box, cleaned.strays, cleaned.floor)


def for_network(points: NDArray[Any], features: Sequence[str], up: str) -> Tensor:
    """Points ``[n, 3 + F]`` with z up, normals turned along, centred and scaled.

    Raises:
        DataError: There is no such axis, or the points all coincide.
    """
    from mgic_geo.transforms import normalize_sphere

    pos = normalize_sphere(torch.from_numpy(turn_upright(points[:, :3], up)))
    beside = points[:, 3:].copy()
    if (first := normals_column(features)) is not None:
        beside[:, first : first + 3] = turn_upright(beside[:, first : first + 3], up)
    return torch.cat([pos, torch.from_numpy(beside)], dim=1)


def _box(points: NDArray[np.float64]) -> Box:
    x, y, z = points.min(axis=0).tolist()
    x2, y2, z2 = points.max(axis=0).tolist()
    return (x, y, z), (x2, y2, z2)


def _cloud_of_mesh(mesh: Mesh, features: Sequence[str], seed: int, name: str) -> PointCloud:
    from mgic_geo.datasets._sampling import sample_points

    table = sample_points(mesh, _OF_MESH, seed=seed, name=name, features=features)
    columns = table.astype(np.float64)
    beside: dict[str, Any] = {}
    at = 3
    for feature in features:
        beside[feature] = columns[:, at : at + FEATURES[feature]]
        at += FEATURES[feature]
    return PointCloud(columns[:, :3], **beside)
