"""Point networks of two graph convolutions, dense and in the channel hierarchy."""

from __future__ import annotations

from typing import Any

from torch import nn

from mgic_geo.models.point_classifier import PointClassifier
from mgic_geo.models.point_segmenter import PointSegmenter
from mgic_geo.models.registry import register_model
from mgic_geo.nn import DiffGCNConv, LinearEdgeConv


def _diffgcn(in_channels: int, out_channels: int, groups: int) -> nn.Module:
    return DiffGCNConv(in_channels, out_channels, groups, bias=False)


def _edgeconv(in_channels: int, out_channels: int, groups: int) -> nn.Module:
    return LinearEdgeConv(in_channels, out_channels, groups, bias=False)


@register_model
def dgcnn(**kwargs: Any) -> PointClassifier:
    """EdgeConv, dense: a small DGCNN on one graph."""
    return PointClassifier(_edgeconv, mgic=False, **kwargs)


@register_model
def diffgcn(**kwargs: Any) -> PointClassifier:
    """Differential operators, dense."""
    return PointClassifier(_diffgcn, mgic=False, **kwargs)


@register_model(dense_twin="dgcnn")
def mgic_edgeconv(**kwargs: Any) -> PointClassifier:
    """EdgeConv in the channel hierarchy."""
    return PointClassifier(_edgeconv, mgic=True, **kwargs)


@register_model(dense_twin="diffgcn")
def mgic_diffgcn(**kwargs: Any) -> PointClassifier:
    """Differential operators in the channel hierarchy."""
    return PointClassifier(_diffgcn, mgic=True, **kwargs)


@register_model(task="point_segmentation")
def diffgcn_seg(**kwargs: Any) -> PointSegmenter:
    """Differential operators with a class for each point, dense."""
    return PointSegmenter(_diffgcn, mgic=False, **kwargs)


@register_model(task="point_segmentation", dense_twin="diffgcn_seg")
def mgic_diffgcn_seg(**kwargs: Any) -> PointSegmenter:
    """Differential operators with a class for each point, in the channel hierarchy."""
    return PointSegmenter(_diffgcn, mgic=True, **kwargs)
