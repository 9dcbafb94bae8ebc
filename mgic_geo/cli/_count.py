"""Counting of registered point models."""

from __future__ import annotations

from typing import Any

import torch

from mgic_geo.models import PointClassifier, create_model
from mgic_geo.profiling import LayerCount, profile_model


def count_point_model(
    name: str, num_points: int = 1024, depth: int | None = None, **model_args: Any
) -> list[LayerCount]:
    """Counts a registered point model on one cloud, without the building of its graph."""
    model = create_model(name, **model_args).eval()
    pos = torch.rand(1, num_points, 3, generator=torch.Generator().manual_seed(0))
    graph = model.prepare(pos) if isinstance(model, PointClassifier) else None
    return profile_model(model, pos, operators=graph, depth=depth)
