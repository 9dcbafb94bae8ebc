"""What every point cloud from a file has to fulfil."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mgic_geo.errors import DataError
from mgic_geo.io.mesh import check_finite


def check_cloud(points: ArrayLike, name: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Returns the positions of a cloud as float64 ``[N, 3]``.

    Args:
        points: ``[N, >= 3]``; columns behind the third are dropped.
        name: What the error message calls it, usually its file.

    Raises:
        DataError: It has another shape or no numbers, is empty, has NaN or infinite positions, or
            all its points are the same.
    """
    points = np.asarray(points)
    if points.dtype.kind not in "fiu" or points.ndim != 2 or points.shape[1] < 3:
        raise DataError(
            f"{name}: a cloud is an array of numbers of shape [points, 3], "
            f"not {points.dtype} of shape {list(points.shape)}"
        )
    points = points[:, :3].astype(np.float64)
    if not len(points):
        raise DataError(f"{name}: an empty cloud; at least one point is needed")
    check_finite(points, name, "points")
    if len(points) > 1 and (points == points[0]).all():
        raise DataError(f"{name}: all {len(points)} points are the same; this is not a shape")
    return points
