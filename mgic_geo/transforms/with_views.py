"""Depth images of clouds, as a transform."""

from __future__ import annotations

import torch
from torch_geometric.data import Data

from mgic_geo.transforms._base import Transform
from mgic_geo.transforms.depth_views import render_depth


class DepthViews(Transform):
    """Adds depth images to a cloud, see :func:`render_depth`, whose options it takes.

    Args:
        views: Number of directions around the up axis.
        size: Height and width of the images in pixels.
        **options: More options of :func:`render_depth`.

    Shapes:
        ``data.pos [n, 3]`` -> adds ``data.views [1, V, 1, size, size]``, which batches to
        ``[B, V, 1, size, size]``.

    Raises:
        DataError: An option out of range.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import DepthViews, normalize_sphere
        >>> cloud = Data(pos=normalize_sphere(torch.rand(64, 3)))
        >>> DepthViews(views=3, size=16)(cloud).views.shape
        torch.Size([1, 3, 1, 16, 16])
    """

    def __init__(self, views: int = 3, size: int = 32, **options: float) -> None:
        self.views, self.size, self.options = views, size, options
        render_depth(torch.zeros(0, 1, 3), views, size, **options)  # type: ignore[arg-type]

    def forward(self, data: Data) -> Data:
        data.views = render_depth(data.pos, self.views, self.size, **self.options)  # type: ignore[arg-type]
        return data

    def __repr__(self) -> str:
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        return f"{type(self).__name__}({self.views}, {self.size}{options})"
