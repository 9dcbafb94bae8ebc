"""Hidden point removal."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mgic_geo.errors import DataError


def hide_points(pos: Tensor, viewer: Tensor, factor: float = 2.0) -> Tensor:
    r"""The points of a cloud that a viewer sees, without a surface.

    Every point is thrown outwards on its ray from the viewer :math:`c`,
    :math:`\hat p_i = p_i + 2 (R - \lVert p_i \rVert) \, p_i / \lVert p_i \rVert` with :math:`c` as
    the origin and :math:`R = 10^f \max_j \lVert p_j \rVert`. Those that come to lie on the convex
    hull of all and the viewer are seen (`Katz, Tal and Basri 2007
    <https://doi.org/10.1145/1276377.1276407>`_).

    Args:
        pos: One cloud ``[n, 3]``.
        viewer: Where it is seen from ``[3]``, in the same units, outside of the cloud.
        factor: The exponent :math:`f`. Smaller for sparse clouds and for noise, larger to see into
            hollows.

    Returns:
        bool ``[n]``.

    Raises:
        DataError: Fewer than four points, or a viewer who stands on one.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms.corruptions import hide_points
        >>> points = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0))
        >>> sphere = torch.nn.functional.normalize(points, dim=1)
        >>> seen = hide_points(sphere, torch.tensor([0.0, -4.0, 0.0]))
        >>> bool((sphere[seen][:, 1] < 0.0).all())  # none of the far half
        True
    """
    from scipy.spatial import ConvexHull, QhullError

    points = pos.detach().cpu().double().numpy() - viewer.detach().cpu().double().numpy()
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 4:
        raise DataError(f"pos must be [n, 3] with at least 4 points, got {list(pos.shape)}")
    distance = np.linalg.norm(points, axis=1, keepdims=True)
    if not distance.min() > 0.0:
        raise DataError("the viewer stands on a point of the cloud")
    radius = 10.0**factor * distance.max()
    thrown = points + 2.0 * (radius - distance) * points / distance
    try:
        hull = ConvexHull(np.concatenate([thrown, np.zeros((1, 3))]))
    except QhullError:  # all points on one plane through the viewer: nothing stands before them
        return torch.ones(len(points), dtype=torch.bool, device=pos.device)
    seen = torch.zeros(len(points) + 1, dtype=torch.bool)
    seen[torch.from_numpy(hull.vertices).long()] = True
    return seen[:-1].to(pos.device)
