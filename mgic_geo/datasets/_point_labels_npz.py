"""A user's own clouds with a class for each point, from one NPZ file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from mgic_geo.datasets._npz import select_split
from mgic_geo.datasets._point_labels import PointLabelDataset, choose
from mgic_geo.datasets._sampling import shape_seed
from mgic_geo.errors import DataError
from mgic_geo.io import FEATURES, parse_features
from mgic_geo.io.arrays import open_npz
from mgic_geo.io.clouds import checked_clouds

KEY = "point_label"


def has_point_labels(source: Path) -> bool:
    """Whether a file is an NPZ with a class for each point."""
    if source.suffix.lower() != ".npz" or not source.is_file():
        return False
    with open_npz(source) as arrays:
        return KEY in arrays.files


def open_point_labels(
    source: Path,
    split: str | None = None,
    num_points: int = 1024,
    seed: int = 0,
    transform: Callable[[Data], Data] | None = None,
    features: str | Sequence[str] = (),
) -> PointLabelDataset:
    """Clouds of ``num_points`` points, drawn at random from those of the file.

    Args:
        source: NPZ with ``points`` ``[M, n, 3]``, ``point_label`` ``[M, n]`` (whole numbers, -1 for
            a point without a class) and their ``classes`` (names). Optional are ``label`` ``[M]``
            and ``categories`` (names), what each cloud is as a whole; ``name`` and ``split``
            ``[M]``; and ``normals``, ``colors`` or ``intensity``.
        split: The part that its array ``split`` says; all by default.
        num_points: Points a cloud.
        seed: Seed of the drawing.
        transform: Called with each item that is taken.
        features: Names of what the points have beside coordinates.

    Raises:
        DataError: Arrays are missing, or do not fit each other.
    """
    features = parse_features(features)
    with open_npz(source) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    if missing := [name for name in ("points", "classes") if name not in found]:
        raise DataError(
            f"{source}: clouds with {KEY} need the arrays points and classes, too; "
            f"{' and '.join(missing)} missing"
        )
    points, part = found["points"], found[KEY]
    if part.shape != points.shape[:2] or part.dtype.kind not in "iu":
        raise DataError(
            f"{source}: {KEY!r} must be whole numbers of shape {list(points.shape[:2])}, not "
            f"{part.dtype} of {list(part.shape)}"
        )
    texts: dict[str, tuple[str, ...]] = {
        key: tuple(map(str, found[key])) for key in ("name", "split") if key in found
    }
    texts["classes"] = tuple(map(str, found.get("categories", ["cloud"])))
    label = found.get("label", np.zeros(len(points), dtype=np.int64))
    beside = {key: found[key] for key in FEATURES if key in found}
    clouds = checked_clouds(points, label, texts, source, beside)
    # by their places: two clouds may have one name
    numbered = replace(clouds, name=tuple(map(str, range(len(clouds)))))
    chosen_clouds = [int(i) for i in select_split(numbered, split, source).name]
    kept = select_split(clouds, split, source)
    if lacking := [name for name in features if name not in kept.features]:
        raise DataError(f"{source}: has no {lacking[0]}, which are asked for")
    have = kept.points.shape[1]
    if have < num_points:
        raise DataError(
            f"{source}: its clouds have {have} points, {num_points} asked; ask for at most {have}"
        )
    drawn, labels = [], []
    columns = [kept.points, *(kept.features[name] for name in features)]
    for i, name in enumerate(kept.name):
        rng = np.random.default_rng(shape_seed(seed, kept.classes[kept.label[i]], name))
        chosen = choose(have, num_points, rng)
        drawn.append(np.concatenate([column[i][chosen] for column in columns], axis=1))
        labels.append(part[chosen_clouds[i]][chosen])
    try:
        return PointLabelDataset(
            torch.from_numpy(np.stack(drawn)),
            torch.from_numpy(np.stack(labels)).long(),
            tuple(map(str, found["classes"])),
            torch.from_numpy(kept.label),
            kept.classes,
            kept.name,
            transform=transform,
            feature_names=features,
        )
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
