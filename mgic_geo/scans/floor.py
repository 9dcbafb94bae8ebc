"""The floor that a scanned object stands on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mgic_geo.io import check_cloud

_TRIPLES = 512  # planes that are tried
_LOOKED_AT = 1024  # points that judge them
_LOWEST = 0.02  # share of the points that may lie below a floor
_INSIDE = 0.7  # share of the object that must stand on it


def find_floor(
    points: ArrayLike,
    *,
    tolerance: float = 0.01,
    tilt: float = 15.0,
    wider: float = 1.2,
    seed: int = 0,
) -> NDArray[np.bool_]:
    r"""The points of a floor below an object, if the cloud has one; z is up.

    A floor is a plane, found by RANSAC (Fischler & Bolles, 1981) and fitted by least squares, that

    - is level, up to ``tilt``,
    - has nothing below it, up to 2 % of the points,
    - is wider than what stands on it: with the convex hulls of both, seen from above, its area is
      ``wider`` times the other, and holds 70 % of the other points (a camera does not see
      the floor behind the object).

    So the top of a table is none, nor is the bottom of a bed: there is something below the one, and
    the other is as wide as the bed.

    Args:
        points: A cloud ``[N, 3]``, z up.
        tolerance: Farthest a point of the floor may be from the plane, as a share of the diagonal
            of the cloud's box.
        tilt: Largest angle between the plane's normal and z, in degrees.
        wider: Least ratio of the areas.
        seed: Seed of the search.

    Returns:
        Whether each point belongs to it ``[N]``; none does where there is no floor.

    Raises:
        DataError: The cloud is unusable.

    Example:
        >>> import numpy as np
        >>> from mgic_geo.scans import find_floor
        >>> rng = np.random.default_rng(0)
        >>> box = rng.random((200, 3)) + [1, 1, 0]
        >>> floor = rng.random((300, 3)) * [3, 3, 0]
        >>> found = find_floor(np.concatenate([box, floor]))
        >>> bool(found[200:].all()), bool(find_floor(box).any())
        (True, False)
    """
    cloud = check_cloud(points, "points")
    none = np.zeros(len(cloud), dtype=bool)
    if len(cloud) < 2 * _SMALLEST:
        return none
    rng = np.random.default_rng(seed)
    some = cloud
    if len(cloud) > _LOOKED_AT:
        some = cloud[rng.choice(len(cloud), _LOOKED_AT, replace=False)]
    width = tolerance * float(np.linalg.norm(np.ptp(cloud, axis=0)))
    plane = _lowest_plane(some, width, np.cos(np.radians(tilt)), rng)
    for _ in range(2 if plane is not None else 0):
        assert plane is not None
        plane = _fitted(some[np.abs(_heights(some, plane)) <= width])
    if plane is None or plane[2] < np.cos(np.radians(tilt)):
        return none
    height = _heights(cloud, plane)
    floor: NDArray[np.bool_] = np.abs(height) <= width
    above = height > width
    below = len(cloud) - int(floor.sum()) - int(above.sum())
    if below > _LOWEST * len(cloud) or not _is_wider(cloud[floor], cloud[above], wider):
        return none
    return height <= width


_SMALLEST = 10  # points of a floor or an object
Plane = NDArray[np.float64]


def _heights(points: NDArray[np.float64], plane: Plane) -> NDArray[np.float64]:
    """Signed distances from a plane ``(normal, offset)``."""
    heights: NDArray[np.float64] = points @ plane[:3] - plane[3]
    return heights


def _lowest_plane(
    points: NDArray[np.float64], width: float, steep: float, rng: np.random.Generator
) -> Plane | None:
    """Of level planes through three points with nothing below, the one with the most points."""
    lower = points[points[:, 2] <= np.median(points[:, 2])]
    a, b, c = (lower[rng.integers(len(lower), size=_TRIPLES)] for _ in range(3))
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    normal *= np.sign(normal[:, 2:])
    level = normal[:, 2] > steep * length
    if not level.any():
        return None
    normal, a = normal[level] / length[level, None], a[level]
    height = points @ normal.T - (normal * a).sum(axis=1)
    count = (np.abs(height) <= width).sum(axis=0)
    count[(height < -width).mean(axis=0) > _LOWEST] = 0
    best = int(count.argmax())
    if count[best] < _SMALLEST:
        return None
    return np.append(normal[best], normal[best] @ a[best])


def _fitted(points: NDArray[np.float64]) -> Plane | None:
    """The plane of least squares through some points, its normal upwards."""
    if len(points) < _SMALLEST:
        return None
    middle = points.mean(axis=0)
    normal = np.linalg.svd(points - middle, full_matrices=False)[2][2]
    normal *= 1.0 if normal[2] >= 0.0 else -1.0
    return np.append(normal, normal @ middle)


def _is_wider(floor: NDArray[np.float64], above: NDArray[np.float64], ratio: float) -> bool:
    if min(len(floor), len(above)) < _SMALLEST:
        return False
    from scipy.spatial import ConvexHull, QhullError  # slow to import

    try:
        hull, other = ConvexHull(floor[:, :2]), ConvexHull(above[:, :2])
    except QhullError:  # all in one line
        return False
    outside = above[:, :2] @ hull.equations[:, :2].T + hull.equations[:, 2]
    inside = (outside <= 0.0).all(axis=1).mean()
    return bool(inside >= _INSIDE and hull.volume >= ratio * other.volume)  # of 2-D hulls, areas
