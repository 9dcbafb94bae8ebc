"""Importances of the points of any shape."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo.errors import DataError
from mgic_geo.inference import Prediction, predict
from mgic_geo.models import DEFAULT_WEIGHTS, WeightsInfo, load_model

from .gradient import gradient_input
from .occlusion import occlusion

METHODS: dict[str, Callable[..., Tensor]] = {
    "occlusion": occlusion,
    "gradient_input": gradient_input,
}
"""Functions of a network, a cloud and a class, by name; the first is the default."""


@dataclass(frozen=True)
class Explanation:
    """What the class of a shape hangs on.

    Args:
        points: The points that were looked at, ``[n, 3]``: centred, scaled, z up.
        importance: How much the class hangs on each, ``[n]``; negative where a point speaks against
            it. The unit is that of the method.
        label: The class.
        method: Name of the method.
        prediction: What the shape was taken for.

    Example:
        >>> import torch
        >>> from mgic_geo.attribution import explain
        >>> found = explain(torch.rand(64, 3), method="gradient_input", label="sofa")
        >>> found.label, found.method, len(found.points[found.importance.topk(5).indices])
        ('sofa', 'gradient_input', 5)
    """

    points: Tensor
    importance: Tensor
    label: str
    method: str
    prediction: Prediction


def explain(
    shape: Any,
    weights: str | os.PathLike[str] | tuple[nn.Module, WeightsInfo] = DEFAULT_WEIGHTS,
    *,
    label: str | None = None,
    method: str = "occlusion",
    seed: int = 0,
    device: str | torch.device = "cpu",
    **kwargs: Any,
) -> Explanation:
    """Classifies a shape, and says how much the class hangs on each of its points.

    Args:
        shape: As in :func:`mgic_geo.predict`.
        weights: As in :func:`mgic_geo.predict`.
        label: The class that is asked about; the predicted one if not given.
        method: ``"occlusion"``, see :func:`~mgic_geo.attribution.occlusion`, or
            ``"gradient_input"``, see :func:`~mgic_geo.attribution.gradient_input`.
        seed: Seed of the sampling and of the parts.
        device: Where the model runs.
        **kwargs: Further options of :func:`mgic_geo.predict`.

    Returns:
        The points with their importances, and the prediction.

    Raises:
        DataError: The shape is unusable, or the class or method is unknown.
        CheckpointError: The weights are unusable, or not for shapes.

    Example:
        >>> import torch
        >>> from mgic_geo.attribution import explain
        >>> found = explain(torch.rand(256, 3), method="gradient_input")
        >>> found.points.shape, found.importance.shape, found.label == found.prediction.label
        (torch.Size([256, 3]), torch.Size([256]), True)
    """
    if method not in METHODS:
        raise DataError(f"method = {method!r}: use one of {', '.join(METHODS)}")
    if not isinstance(weights, tuple):
        weights = load_model(weights, device)
    model, info = weights
    found = predict(shape, weights, seed=seed, device=device, **kwargs)
    importance = explain_points(model, info, found, label, method, seed, device)
    name = found.label if label is None else label
    return Explanation(found.points[:, :3], importance, name, method, found)


def explain_points(
    model: nn.Module,
    info: WeightsInfo,
    found: Prediction,
    label: str | None = None,
    method: str = "occlusion",
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Importances ``[n]`` of the points of a prediction, see :func:`explain`."""
    name = found.label if label is None else label
    if name not in info.classes:
        raise DataError(f"label = {name!r}: the weights know {', '.join(info.classes)}")
    options: dict[str, Any] = {"seed": seed} if method == "occlusion" else {}
    return METHODS[method](model, found.points, info.classes.index(name), device=device, **options)
