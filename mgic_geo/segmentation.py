"""Classes of the points of single shapes, from whatever holds them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mgic_geo.inference import loaded_for, name_of, run_network
from mgic_geo.io import Mesh, as_shape
from mgic_geo.io.cloud import OnNan
from mgic_geo.io.features import cloud_features
from mgic_geo.models import WeightsInfo
from mgic_geo.scans._ready import for_network

_MOST_PARTS = 16  # of as many points as the weights were trained on; others follow their neighbours
_NEIGHBORS = 3
_CHUNK = 1 << 18  # points that are looked up at a time


@dataclass(frozen=True)
class Segmentation:
    """What the points of a shape are taken for.

    Args:
        points: The points as they were given, or as they were drawn from a mesh, ``[N, 3]``.
        label: Class of each point, int64 ``[N]``, a number in ``classes``.
        probability: Probability of that class, float32 ``[N]``.
        classes: Names of the classes.
        judged: How many points the network looked at; the others follow the nearest of them.
        kind: ``"mesh"`` or ``"cloud"``.
    """

    points: NDArray[np.float64]
    label: NDArray[np.int64]
    probability: NDArray[np.float32]
    classes: tuple[str, ...]
    judged: int
    kind: str

    @property
    def shares(self) -> dict[str, float]:
        """Share of the points that each class has, the largest first, without those at 0."""
        counts = np.bincount(self.label, minlength=len(self.classes)) / len(self.label)
        order = np.argsort(-counts, kind="stable")
        return {self.classes[i]: float(counts[i]) for i in order if counts[i] > 0.0}


def segment_points(
    shape: Any,
    weights: str | os.PathLike[str] | tuple[nn.Module, WeightsInfo],
    *,
    num_points: int | None = None,
    seed: int = 0,
    up: str = "z",
    on_nan: OnNan = "drop",
    device: str | torch.device = "cpu",
    name: str | None = None,
    compiled: bool | None = None,
) -> Segmentation:
    """Gives every point of a cloud, or points drawn from a mesh, a class.

    A network knows neighbourhoods of clouds as thin as those that it was trained on. So the points
    are dealt out at random to clouds of about that size, at most 16, each of which is judged; the
    class of a point that is in none of them is the likeliest by its three nearest ones that are,
    weighted by the inverse of their distance.

    Args:
        shape: A file, or anything that :func:`mgic_geo.io.as_shape` takes.
        weights: Shipped weights by name, a file, a run folder, or what
            :func:`~mgic_geo.models.load_model` returned.
        num_points: Points of a cloud that is judged, and of a mesh that are drawn; as many as the
            weights were trained on, if not given.
        seed: Seed of the drawing and dealing.
        up: Axis of the shape that points up, ``"x"``, ``"y"`` or ``"z"``.
        on_nan: As in :func:`mgic_geo.predict`; points that are left out are in no result.
        device: Where the model runs.
        name: What messages call the shape; its file, if it is one.
        compiled: As in :func:`mgic_geo.predict`.

    Returns:
        The points with their classes.

    Raises:
        DataError: The shape is unusable, or too small for the network.
        CheckpointError: The weights are unusable, or give no class to points.

    Example:
        >>> import torch
        >>> from mgic_geo import segment_points
        >>> from mgic_geo.models import WeightsInfo, create_model
        >>> model = create_model("mgic_diffgcn_seg", num_classes=2, width=16, k=4).eval()
        >>> info = WeightsInfo("mgic_diffgcn_seg", {}, ("leg", "top"), 64, "point_segmentation")
        >>> found = segment_points(torch.rand(500, 3), (model, info))
        >>> found.label.shape, set(found.shares) <= {"leg", "top"}
        ((500,), True)
    """
    from mgic_geo.datasets._sampling import sample_points
    from mgic_geo.errors import DataError
    from mgic_geo.training.evaluate import predict_logits

    if num_points is not None and num_points < 1:
        raise DataError(f"num_points must be at least 1, got {num_points}")
    model, info = loaded_for("point_labels", "points", weights, device)
    name = name_of(shape, name)
    found = as_shape(shape, on_nan, name)
    size = info.num_points if num_points is None else num_points
    if isinstance(found, Mesh):
        drawn = sample_points(found, size, seed=seed, name=name, features=info.features)
        table = drawn.astype(np.float64)
    else:
        beside = np.asarray(cloud_features(found, info.features, name), dtype=np.float64)
        table = np.concatenate([found.points, beside], axis=1)
    points = table[:, :3]
    least = int(getattr(model, "min_points", 1))
    if min(len(points), size) < least:
        raise DataError(
            f"{name}: {min(len(points), size)} points; the network needs {least}, for every point "
            "to have its neighbours"
        )
    whole = for_network(table, info.features, up).float()
    parts = min(max(round(len(points) / size), 1), _MOST_PARTS)
    each = min(len(points) // parts, 3 * size // 2)  # of one part up to all its points
    order = np.random.default_rng(seed).permutation(len(points))[: parts * each]
    dealt = whole[torch.from_numpy(order)].view(parts, each, -1)
    logits = run_network(model, partial(predict_logits, model, dealt, device), compiled)
    probability = logits.flatten(0, 1).softmax(dim=1).numpy()
    label, certain = _carry(whole[:, :3].numpy(), order, probability)
    kind = "mesh" if isinstance(found, Mesh) else "cloud"
    return Segmentation(points, label, certain, info.classes, len(order), kind)


def _carry(
    pos: NDArray[np.float32], judged: NDArray[np.int64], probability: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The likeliest class of all points, and its probability, from those of some."""
    label = np.empty(len(pos), dtype=np.int64)
    certain = np.empty(len(pos), dtype=np.float32)
    label[judged], certain[judged] = probability.argmax(axis=1), probability.max(axis=1)
    others = np.ones(len(pos), dtype=bool)
    others[judged] = False
    rest = np.flatnonzero(others)
    if not len(rest):
        return label, certain
    from scipy.spatial import cKDTree

    tree = cKDTree(pos[judged])
    for chunk in np.array_split(rest, -(-len(rest) // _CHUNK)):
        distance, near = tree.query(pos[chunk], k=min(_NEIGHBORS, len(judged)))
        distance, near = distance.reshape(len(chunk), -1), near.reshape(len(chunk), -1)
        share = 1.0 / np.maximum(distance, 1e-9)
        share /= share.sum(axis=1, keepdims=True)
        mixed = np.einsum("nk,nkc->nc", share, probability[near])
        label[chunk], certain[chunk] = mixed.argmax(axis=1), mixed.max(axis=1)
    return label, certain
