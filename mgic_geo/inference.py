"""Classes of single shapes, from whatever holds them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mgic_geo._first_calls import run_at_once
from mgic_geo.io import Mesh, as_shape
from mgic_geo.io.cloud import OnNan
from mgic_geo.io.features import normals_column
from mgic_geo.kernels import without_compiler
from mgic_geo.models import DEFAULT_WEIGHTS, WeightsInfo, load_model

# Rotations that put the named axis up; a front towards +z, usual where y is up, turns to -y, as in
# ModelNet.
UPRIGHT = {
    "x": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}


@dataclass(frozen=True)
class Prediction:
    """What a shape is taken for.

    Args:
        label: The most likely class.
        probability: Its probability.
        top: The three most likely classes with their probabilities.
        logits: Logits of all classes, ``[C]``.
        kind: ``"mesh"`` or ``"cloud"``.
        num_points: Points that were looked at.
        points: Those points, ``[n, 3 + F]``: centred, scaled to the unit sphere, z up, with their
            features.
    """

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]
    logits: Tensor
    kind: str
    num_points: int
    points: Tensor = field(repr=False)


def predict(
    shape: Any,
    weights: str | os.PathLike[str] | tuple[nn.Module, WeightsInfo] = DEFAULT_WEIGHTS,
    *,
    num_points: int | None = None,
    seed: int = 0,
    up: str = "z",
    on_nan: OnNan = "drop",
    device: str | torch.device = "cpu",
    name: str | None = None,
    compiled: bool | None = None,
) -> Prediction:
    """Classifies a mesh or a point cloud; it is sampled, centred and scaled to the unit sphere.

    Weights that were trained with features, such as normals, need shapes that have them.

    Args:
        shape: A file, or anything that :func:`mgic_geo.io.as_shape` takes: an array or tensor
            ``[N, >= 3]``, a ``Data`` of PyG, a cloud or mesh of Open3D or trimesh.
        weights: Shipped weights by name, a file, a run folder, or what
            :func:`~mgic_geo.models.load_model` returned: loaded once for many shapes.
        num_points: Points to sample; as many as the weights were trained on, or all of a smaller
            cloud, if not given.
        seed: Seed of the sampling.
        up: Axis of the shape that points up, ``"x"``, ``"y"`` or ``"z"``.
        on_nan: What becomes of points with NaN or infinite positions: ``"drop"`` leaves them out
            with a warning, ``"raise"`` refuses the cloud.
        device: Where the model runs.
        name: What messages call the shape; its file, if it is one.
        compiled: Whether compiled loops run, or torch alone. By default torch runs the first
            predictions of a network; at the 64th its loops begin to be compiled on another thread,
            and run once they are there. The last bits may differ.

    Returns:
        The most likely class, the three best with their probabilities, and the logits ``[C]``.

    Raises:
        DataError: The shape is unusable, or lacks features that the weights need.
        CheckpointError: The weights are unusable, or not for shapes.

    Example:
        >>> import torch
        >>> from mgic_geo import predict
        >>> found = predict(torch.rand(256, 3))  # ten classes of furniture
        >>> found.num_points, len(found.top), len(found.logits)
        (256, 3, 10)
    """
    from mgic_geo.datasets._sampling import sample_points
    from mgic_geo.errors import CheckpointError, DataError
    from mgic_geo.training.evaluate import predict_logits
    from mgic_geo.transforms import normalize_sphere

    if up not in UPRIGHT:
        raise DataError(f"up = {up!r}: use one of {', '.join(UPRIGHT)}")
    if not isinstance(weights, tuple):
        weights = load_model(weights, device)
    model, info = weights
    if info.data != "clouds":
        raise CheckpointError(f"weights of {info.model} are for {info.data}, not for shapes")
    if name is None:
        name = str(shape) if isinstance(shape, str | os.PathLike) else "shape"
    found = as_shape(shape, on_nan, name)
    solid = isinstance(found, Mesh)
    if num_points is None:
        num_points = info.num_points
        if not isinstance(found, Mesh):
            num_points = min(num_points, len(found))
    points = sample_points(found, num_points, seed=seed, name=name, features=info.features)
    turn = np.array(UPRIGHT[up], points.dtype).T
    pos = normalize_sphere(torch.from_numpy(points[:, :3] @ turn))
    if info.features:
        beside = points[:, 3:]
        if (first := normals_column(info.features)) is not None:
            beside[:, first : first + 3] = beside[:, first : first + 3] @ turn
        pos = torch.cat([pos, torch.from_numpy(beside)], dim=1)
    logits = _run(model, lambda: predict_logits(model, pos[None], device), compiled)[0]
    top = most_likely(logits, info.classes)
    return Prediction(*top[0], top, logits, "mesh" if solid else "cloud", num_points, pos)


def _run(model: nn.Module, call: Callable[[], Tensor], compiled: bool | None) -> Tensor:
    if compiled is None:
        return run_at_once(model, call)
    with contextlib.nullcontext() if compiled else without_compiler():
        return call()


def most_likely(
    logits: Tensor, classes: tuple[str, ...], most: int = 3
) -> tuple[tuple[str, float], ...]:
    """The most likely classes with their probabilities, the likeliest first.

    Args:
        logits: Logits of all classes, ``[C]``.
        classes: Their names.
        most: How many.
    """
    best = logits.softmax(dim=0).topk(min(most, len(classes)))
    return tuple((classes[i], p) for p, i in zip(best.values.tolist(), best.indices.tolist()))
