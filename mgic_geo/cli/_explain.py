"""What a class hangs on, for `predict`."""

from __future__ import annotations

from typing import Any

from jsonargparse import Namespace
from torch import Tensor, nn

from mgic_geo.inference import Prediction
from mgic_geo.models import WeightsInfo


def explained(model: nn.Module, info: WeightsInfo, found: Prediction, options: Namespace) -> Tensor:
    """Importances of the points of a prediction, for the class that it names."""
    from mgic_geo.attribution.api import explain_points

    return explain_points(model, info, found, seed=options.seed, device=options.device)


def explanation_as_json(found: Prediction, importance: Tensor | None) -> dict[str, Any]:
    """Points and their importances as lists; nothing without importances."""
    if importance is None:
        return {}
    points = [[round(v, 5) for v in point] for point in found.points[:, :3].tolist()]
    return {
        "explanation": {
            "class": found.label,
            "method": "occlusion",
            "points": points,
            "importance": [round(v, 5) for v in importance.tolist()],
        }
    }
