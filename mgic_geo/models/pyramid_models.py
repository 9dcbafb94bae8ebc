"""Pyramids of points, dense and in the channel hierarchy."""

from __future__ import annotations

from typing import Any

from mgic_geo.models.point_pyramid import PointPyramid
from mgic_geo.models.registry import register_model


@register_model
def pyramid(**kwargs: Any) -> PointPyramid:
    """Nested grids of points that widen as they thin, dense."""
    return PointPyramid(mgic=False, **kwargs)


@register_model(dense_twin="pyramid")
def mgic_pyramid(**kwargs: Any) -> PointPyramid:
    """Nested grids of points that widen as they thin, in the channel hierarchy."""
    return PointPyramid(mgic=True, **kwargs)
