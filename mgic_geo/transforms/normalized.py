"""Removing position and size of a cloud, as a transform."""

from __future__ import annotations

from torch_geometric.data import Data

from mgic_geo.transforms._base import Transform
from mgic_geo.transforms.normalize import normalize_sphere


class NormalizeSphere(Transform):
    """Centres ``data.pos`` on its mean and scales it into the unit sphere.

    PyG's ``NormalizeScale`` scales by the largest coordinate instead, so that its result depends
    on the heading of the shape, and turns a cloud of identical points into NaN.

    Shapes:
        ``data.pos [N, D]`` -> ``[N, D]``.

    Raises:
        DataError: See :func:`normalize_sphere`.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import NormalizeSphere
        >>> pos = NormalizeSphere()(Data(pos=100.0 + 5.0 * torch.rand(64, 3))).pos
        >>> bool(abs(pos.norm(dim=1).max() - 1.0) < 1e-6), bool(pos.mean(dim=0).abs().max() < 1e-6)
        (True, True)
    """

    def forward(self, data: Data) -> Data:
        data.pos = normalize_sphere(data.pos)
        return data
