"""Classes of single shapes, from whatever holds them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo._first_calls import run_at_once
from mgic_geo.io import as_shape
from mgic_geo.io.cloud import OnNan
from mgic_geo.kernels import without_compiler
from mgic_geo.models import DEFAULT_WEIGHTS, WeightsInfo, load_model
from mgic_geo.scans._ready import Box, Ready, count_objects, is_flat, make_ready, split_objects
from mgic_geo.scans.upright import CANDIDATES

__all__ = ["Prediction", "predict", "predict_objects"]

_READ = 1 << 17  # points of a cloud of more than a million, for cleaning and sampling


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
        up: The axis that was taken to point up.
        box: Least and largest coordinates of what was judged, in the units of the shape.
        strays: Stray points that were left out.
        floor: Points of a floor that were left out.

    Example:
        >>> import torch
        >>> from mgic_geo import predict
        >>> found = predict(torch.rand(300, 3) * torch.tensor([1, 1, 0]))
        >>> type(found).__name__, found.kind, found.num_points, found.flat
        ('Prediction', 'cloud', 300, True)
    """

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]
    logits: Tensor
    kind: str
    num_points: int
    points: Tensor = field(repr=False)
    up: str = "z"
    box: Box = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    strays: int = 0
    floor: int = 0

    # When they are asked for: that takes as long as the network itself.

    @cached_property
    def objects(self) -> int:
        """How many objects the shape looks like; it was judged as one."""
        return count_objects(self.points)

    @cached_property
    def flat(self) -> bool:
        """Whether all points lie in one plane."""
        return is_flat(self.points)


def predict(
    shape: Any,
    weights: str | os.PathLike[str] | tuple[nn.Module, WeightsInfo] = DEFAULT_WEIGHTS,
    *,
    num_points: int | None = None,
    seed: int = 0,
    up: str = "z",
    clean: Sequence[str] = (),
    on_nan: OnNan = "drop",
    device: str | torch.device = "cpu",
    name: str | None = None,
    compiled: bool | None = None,
) -> Prediction:
    """Classifies a mesh or a point cloud; it is sampled, centred and scaled to the unit sphere.

    Weights that were trained with features, such as normals, need shapes that have them. Of files
    with more than a million points a random part is read, see :func:`mgic_geo.io.read_shape`.

    Args:
        shape: A file, or anything that :func:`mgic_geo.io.as_shape` takes: an array or tensor
            ``[N, >= 3]``, a ``Data`` of PyG, a cloud or mesh of Open3D or trimesh.
        weights: Shipped weights by name, a file, a run folder, or what
            :func:`~mgic_geo.models.load_model` returned: loaded once for many shapes.
        num_points: Points to sample; as many as the weights were trained on, or all of a smaller
            cloud, if not given.
        seed: Seed of the sampling.
        up: Axis of the shape that points up, ``"x"``, ``"y"``, ``"z"``, ``"-x"``, ``"-y"`` or
            ``"-z"``; ``"auto"`` tries x, y and z in one batch and takes the most certain result, or
            of those where a floor was found below.
        clean: What is left out of a cloud before it is judged: ``"strays"``, points that stand
            alone (:func:`~mgic_geo.scans.find_strays`), and ``"floor"``, a floor that it stands on
            (:func:`~mgic_geo.scans.find_floor`).
        on_nan: What becomes of points with NaN or infinite positions: ``"drop"`` leaves them out
            with a warning, ``"raise"`` refuses the cloud.
        device: Where the model runs.
        name: What messages call the shape; its file, if it is one.
        compiled: Whether compiled loops run, or torch alone. By default torch runs the first
            predictions of a network; at the 64th its loops begin to be compiled on another thread,
            and run once they are there. The last bits may differ.

    Returns:
        The most likely class, the three best with their probabilities, the logits ``[C]``, and what
        was found out about the shape. Probabilities are calibrated where the weights are, see
        :func:`~mgic_geo.training.fit_temperature`.

    Raises:
        DataError: The shape is unusable, or lacks features that the weights need.
        CheckpointError: The weights are unusable, or not for shapes.

    Example:
        >>> import torch
        >>> from mgic_geo import predict
        >>> found = predict(torch.rand(256, 3))  # ten classes of furniture
        >>> found.num_points, len(found.top), len(found.logits)
        (256, 3, 10)
        >>> predict(torch.rand(256, 3), up="auto", clean=["strays", "floor"]).up in "xyz"
        True
    """
    axes: Sequence[str] = CANDIDATES if up == "auto" else [up]
    model, info = loaded_for("clouds", "shapes", weights, device)
    name = name_of(shape, name)
    found = as_shape(shape, on_nan, name, _READ)
    ready = make_ready(found, info, axes, clean, num_points, seed, name)
    judged = _judge(model, info, ready, device, compiled)
    return max(judged, key=lambda one: (one.floor > 0, one.probability))


def predict_objects(
    shape: Any,
    weights: str | os.PathLike[str] | tuple[nn.Module, WeightsInfo] = DEFAULT_WEIGHTS,
    *,
    num_points: int | None = None,
    seed: int = 0,
    up: str = "z",
    clean: Sequence[str] = (),
    on_nan: OnNan = "drop",
    device: str | torch.device = "cpu",
    name: str | None = None,
    compiled: bool | None = None,
) -> tuple[Prediction, ...]:
    """Classifies each of the objects of a scan, which :func:`~mgic_geo.scans.find_objects` tells.

    Args:
        shape: As in :func:`predict`; a mesh is sampled first.
        weights: As in :func:`predict`.
        num_points: Points to sample of each object.
        seed: Seed of the sampling.
        up: As in :func:`predict`; ``"auto"`` chooses one axis for all objects, by their mean
            probability.
        clean: As in :func:`predict`; a floor that is not left out joins the objects on it.
        on_nan: As in :func:`predict`.
        device: Where the model runs.
        name: What messages call the shape.
        compiled: As in :func:`predict`.

    Returns:
        A prediction with its ``box`` for each object, the one with the most points first.

    Raises:
        DataError: The shape is unusable, or lacks features that the weights need.
        CheckpointError: The weights are unusable, or not for shapes.

    Example:
        >>> import torch
        >>> from mgic_geo.inference import predict_objects
        >>> near, far = torch.rand(256, 3), torch.rand(200, 3) + torch.tensor([3, 0, 0])
        >>> [found.num_points for found in predict_objects(torch.cat([near, far]))]
        [256, 200]
    """
    axes: Sequence[str] = CANDIDATES if up == "auto" else [up]
    model, info = loaded_for("clouds", "shapes", weights, device)
    name = name_of(shape, name)
    found = as_shape(shape, on_nan, name, _READ)
    best: tuple[Prediction, ...] = ()
    for axis in axes:
        objects: list[Prediction] = []
        for part, strays, floor in split_objects(found, info, axis, clean, seed, name):
            (ready,) = make_ready(part, info, [axis], (), num_points, seed, name)
            ready = ready._replace(strays=strays, floor=floor)
            objects += _judge(model, info, [ready], device, compiled)
        if not best or _worth(objects) > _worth(best):
            best = tuple(objects)
    return best


def _worth(found: Sequence[Prediction]) -> tuple[bool, float]:
    mean = sum(one.probability for one in found) / len(found)
    return found[0].floor > 0, mean


def loaded_for(
    data: str,
    what: str,
    weights: str | os.PathLike[str] | tuple[nn.Module, WeightsInfo],
    device: str | torch.device,
) -> tuple[nn.Module, WeightsInfo]:
    """The network, which has to be for a kind of data; ``what`` it is to judge, in words."""
    from mgic_geo.errors import CheckpointError

    model, info = weights if isinstance(weights, tuple) else load_model(weights, device)
    if info.data != data:
        raise CheckpointError(f"weights of {info.model} are for {info.data}, not for {what}")
    return model, info


def name_of(shape: Any, name: str | None) -> str:
    """What messages call a shape."""
    if name is not None:
        return name
    return str(shape) if isinstance(shape, str | os.PathLike) else "shape"


def _judge(
    model: nn.Module,
    info: WeightsInfo,
    ready: Sequence[Ready],
    device: str | torch.device,
    compiled: bool | None,
) -> list[Prediction]:
    """A prediction for each, those of equal size in one batch."""
    from mgic_geo.training.evaluate import predict_logits

    logits: dict[int, Tensor] = {}
    for count in dict.fromkeys(len(one.pos) for one in ready):
        group = [i for i, one in enumerate(ready) if len(one.pos) == count]
        pos = torch.stack([ready[i].pos for i in group])
        found = run_network(model, partial(predict_logits, model, pos, device), compiled)
        logits |= dict(zip(group, found, strict=True))
    results = []
    for i, one in enumerate(ready):
        top = most_likely(logits[i] / info.temperature, info.classes)
        results.append(Prediction(*top[0], top, logits[i], **_about(one)))
    return results


def _about(ready: Ready) -> dict[str, Any]:
    about = ready._asdict()
    about["points"] = about.pop("pos")
    return about


def run_network(model: nn.Module, call: Callable[[], Tensor], compiled: bool | None) -> Tensor:
    """A call of the network, see ``compiled`` of :func:`predict`."""
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
