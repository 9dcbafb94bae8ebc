"""Depth images of clouds inside an exported network."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mgic_geo.transforms.depth_views import _BORDER, _FARTHEST, _frames, _grow, _pixel


class DepthViews(nn.Module):
    """:func:`~mgic_geo.transforms.render_depth` of ``pos [B, n, 3]``, ``[B * V, C, size, size]``.

    Args:
        views: Number of directions.
        size: Height and width.
        channels: Copies of the image side by side.
        scatter: Scatter the points into their pixels; else compare each pixel with all points, for
            engines without that operator.
    """

    def __init__(self, views: int, size: int, channels: int, scatter: bool) -> None:
        super().__init__()
        self.views, self.size, self.channels, self.scatter = views, size, channels, scatter
        self.register_buffer("frames", _frames(views, 0.0, 0.0, False, 2).float())
        self.register_buffer("pixels", torch.arange(size * size).view(1, 1, -1, 1))

    def forward(self, pos: Tensor) -> Tensor:
        x, y, z = pos.unsqueeze(1).unbind(-1)  # [B, 1, n]
        frames = cast(Tensor, self.frames).unsqueeze(-1)
        across, upwards, towards = (x * f[:, 0] + y * f[:, 1] + z * f[:, 2] for f in frames)
        inside = (across.abs() <= _BORDER) & (upwards.abs() <= _BORDER)
        near = 1.0 - 0.5 * (1.0 - _FARTHEST) * (1.0 - towards.clamp(-1.0, 1.0))
        near = torch.where(inside, near, 0.0)
        column = _pixel(across, inside, self.size)
        row = _pixel(-upwards, inside, self.size)
        place = row * self.size + column  # [B, V, n]
        if self.scatter:
            empty = near[:, :, :1].expand(-1, -1, self.size**2) * 0.0
            image = empty.scatter_reduce(2, place, near, "amax")
        else:
            hit = place.unsqueeze(2) == cast(Tensor, self.pixels)
            image = torch.where(hit, near.unsqueeze(2), 0.0).amax(dim=3)
        image = _grow(image.reshape(-1, 1, self.size, self.size), 1)
        return image.expand(-1, self.channels, -1, -1)
