"""Points that belong to nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mgic_geo.io import check_cloud


def find_strays(points: ArrayLike, neighbors: int = 8, ratio: float = 4.0) -> NDArray[np.bool_]:
    r"""The points that stand alone, by the statistical filter of PCL and Open3D.

    With :math:`d_i` the mean distance of point i to its nearest ``neighbors`` points, itself
    counted among them, its mean :math:`\mu` and deviation :math:`\sigma` over all points, those are
    strays with

    .. math::
        d_i \ge \mu + r\,\sigma.

    Rusu et al., "Towards 3D point cloud based object maps for household environments" (Robotics
    and Autonomous Systems, 2008). The result is that of Open3D's ``remove_statistical_outlier``
    with ``nb_neighbors`` and ``std_ratio``; the tree is SciPy's, so nothing has to be installed.

    Args:
        points: A cloud ``[N, 3]``.
        neighbors: Points whose distances are averaged.
        ratio: Deviations :math:`r` from the mean that make a stray.

    Returns:
        Whether each point is one ``[N]``; none is in a cloud of at most ``neighbors`` points.

    Raises:
        DataError: The cloud is unusable.

    Example:
        >>> import numpy as np
        >>> from mgic_geo.scans import find_strays
        >>> sphere = np.random.default_rng(0).normal(size=(300, 3))
        >>> sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
        >>> cloud = np.concatenate([sphere, [[0, 0, 3], [0, 4, 0]]])
        >>> np.flatnonzero(find_strays(cloud))
        array([300, 301])
    """
    cloud = check_cloud(points, "points")
    if len(cloud) <= neighbors:
        return np.zeros(len(cloud), dtype=bool)
    from scipy.spatial import cKDTree  # slow to import

    distance = cKDTree(cloud).query(cloud, neighbors)[0].mean(axis=1)
    strays: NDArray[np.bool_] = distance >= distance.mean() + ratio * distance.std(ddof=1)
    return strays
