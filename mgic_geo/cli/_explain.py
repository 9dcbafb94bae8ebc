"""What a class hangs on, for `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import Namespace
from torch import Tensor, nn

from mgic_geo.inference import Prediction
from mgic_geo.models import WeightsInfo

_AGAINST, _BETWEEN, _FOR = (52, 101, 200), (170, 178, 187), (217, 72, 15)  # as in reports


def explained(model: nn.Module, info: WeightsInfo, found: Prediction, options: Namespace) -> Tensor:
    """Importances of the points of a prediction, for the class that it names."""
    from mgic_geo.attribution.api import explain_points

    return explain_points(model, info, found, seed=options.seed, device=options.device)


def write_colours(
    file: str, found: Prediction, importance: Tensor, options: Namespace, part: str = ""
) -> str:
    """The points in colours as ``NAME_explained.ply`` in ``--out``; blue against, red for it."""
    from mgic_geo.io import write_ply
    from mgic_geo.viz.report._points import shades

    stem = Path(file).name.removesuffix(".gz").rpartition(".")[0]
    path = Path(options.out) / f"{stem}{part}_explained.ply"
    share = (shades(importance.numpy()) - 128.0) / 127.0
    colours = [np.interp(share, [-1, 0, 1], ends) for ends in zip(_AGAINST, _BETWEEN, _FOR)]
    comment = f"importance of points for {found.label}: blue against it, red for it"
    write_ply(path, found.points[:, :3].numpy(), np.stack(colours, axis=1).round(), None, [comment])
    return str(path)


def explanation_as_json(
    file: str, found: Prediction, importance: Tensor | None, options: Namespace, part: str = ""
) -> dict[str, Any]:
    """Points and their importances as lists; nothing without importances."""
    if importance is None:
        return {}
    colours = {}
    if options.out is not None:
        colours = {"file": write_colours(file, found, importance, options, part)}
    points = [[round(v, 5) for v in point] for point in found.points[:, :3].tolist()]
    return {
        "explanation": {
            "class": found.label,
            "method": "occlusion",
            "points": points,
            "importance": [round(v, 5) for v in importance.tolist()],
            **colours,
        }
    }
