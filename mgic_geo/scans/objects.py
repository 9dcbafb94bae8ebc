"""One cloud, several objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mgic_geo.io import check_cloud

_NEIGHBORS = 8  # a point with so many within reach, itself counted, is inside of something
_LOOKED_AT = 4096  # points that say which objects there are


def find_objects(
    points: ArrayLike, *, reach: float = 3.5, smallest: float = 0.05, seed: int = 0
) -> NDArray[np.int64]:
    r"""Numbers the objects of a cloud by the gaps between them; z is up.

    DBSCAN (Ester et al., 1996), where a point with 8 points within :math:`\varepsilon`, itself
    counted, is a core: cores within :math:`\varepsilon` of each other are of one cluster, other
    points of that of the nearest core within :math:`\varepsilon`, or noise. The reach follows the
    cloud: :math:`\varepsilon` is ``reach`` times the median distance to the seventh other point.
    Clusters whose boxes overlap as seen from above become one, since the parts of an object that a
    scanner sees may be apart (the legs of a table, from above), and objects stand side by side.

    Args:
        points: A cloud ``[N, 3]``, z up.
        reach: Ratio of :math:`\varepsilon` to the spacing of the points.
        smallest: Share of the points below which a cluster is noise.
        seed: Seed of the choice of points in clouds of more than 4,096: these are clustered, the
            others follow the nearest.

    Returns:
        Number of each point's object ``[N]``, int64, the largest 0; -1 for noise.

    Raises:
        DataError: The cloud is unusable.

    Example:
        >>> import numpy as np
        >>> from mgic_geo.scans import find_objects
        >>> rng = np.random.default_rng(0)
        >>> big, small = rng.random((200, 3)), rng.random((100, 3)) + [3, 0, 0]
        >>> np.unique(find_objects(np.concatenate([big, small])), return_counts=True)
        (array([0, 1]), array([200, 100]))
    """
    cloud = check_cloud(points, "points")
    if len(cloud) <= _NEIGHBORS:
        return np.zeros(len(cloud), dtype=np.int64)
    some = cloud
    if len(cloud) > _LOOKED_AT:
        index = np.random.default_rng(seed).choice(len(cloud), _LOOKED_AT, replace=False)
        some = cloud[index]
    from scipy.spatial import cKDTree  # slow to import

    tree = cKDTree(some)
    epsilon = reach * float(np.median(tree.query(some, _NEIGHBORS)[0][:, -1]))
    label = _merged(some, dbscan(some, epsilon, _NEIGHBORS))
    if len(some) < len(cloud):
        distance, nearest = tree.query(cloud, distance_upper_bound=epsilon)
        label = np.where(np.isfinite(distance), np.append(label, -1)[nearest], -1)
    return _by_size(label, smallest * len(cloud))


def dbscan(points: NDArray[np.float64], epsilon: float, least: int) -> NDArray[np.int64]:
    """DBSCAN's cluster of each point ``[N]``, -1 for noise."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    pairs = tree.query_pairs(epsilon, output_type="ndarray")
    degree = np.bincount(pairs.ravel(), minlength=len(points)) + 1
    core = degree >= least
    label = np.full(len(points), -1, dtype=np.int64)
    if not core.any():
        return label
    joined = pairs[core[pairs].all(axis=1)]
    graph = coo_matrix((np.ones(len(joined)), joined.T), shape=(len(points), len(points)))
    label[core] = connected_components(graph, directed=False)[1][core]
    distance, nearest = cKDTree(points[core]).query(points, distance_upper_bound=epsilon)
    near = np.isfinite(distance)
    label[near] = label[core][nearest[near]]
    return label


def _merged(points: NDArray[np.float64], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Joins clusters whose boxes overlap as seen from above."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    inside = label >= 0
    merged = label.copy()
    while True:
        names, merged[inside] = np.unique(merged[inside], return_inverse=True)
        parts = [points[merged == name, :2] for name in range(len(names))]
        if len(parts) < 2:
            return merged
        least = np.stack([part.min(axis=0) for part in parts])
        largest = np.stack([part.max(axis=0) for part in parts])
        overlap = np.minimum(largest[:, None], largest) > np.maximum(least[:, None], least)
        count, joined = connected_components(coo_matrix(overlap.all(axis=2)), directed=False)
        if count == len(parts):
            return merged
        merged[inside] = joined[merged[inside]]  # and look again: their boxes have grown


def _by_size(label: NDArray[np.int64], least: float) -> NDArray[np.int64]:
    """The same clusters, numbered from the largest on; small ones are noise."""
    names, counts = np.unique(label[label >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    numbered = np.full(len(label), -1, dtype=np.int64)
    for number, i in enumerate(order[counts[order] >= least]):
        numbered[label == names[i]] = number
    return numbered
