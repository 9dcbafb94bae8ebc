"""The clouds of an NPZ: one split, the wanted labels, the wanted number of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mgic_geo.datasets._sampling import Sampled, sample_points, shape_seed
from mgic_geo.errors import DataError
from mgic_geo.io import Clouds, PointCloud, check_cloud


def select_split(clouds: Clouds, split: str | None, source: Path) -> Clouds:
    """The clouds of one split; a file that does not say holds ``"train"``."""
    if split is None or (clouds.split is None and split == "train"):
        return clouds
    if clouds.split is None:
        raise DataError(
            f"{source}: holds one split only (it has no array 'split'), so there is no {split!r}; "
            "add that array, or read the file with PointClouds"
        )
    keep = np.flatnonzero(np.array(clouds.split) == split)
    if not len(keep):
        raise DataError(f"{source}: no cloud has the split {split!r}")
    return Clouds(
        clouds.points[keep],
        clouds.label[keep],
        clouds.classes,
        tuple(clouds.name[i] for i in keep),
        (split,) * len(keep),
        {name: values[keep] for name, values in clouds.features.items()},
    )


def relabel(clouds: Clouds, classes: Sequence[str] | None, source: Path) -> Clouds:
    """The same clouds with labels that follow ``classes``."""
    known = clouds.classes if classes is None else tuple(classes)
    if unknown := [name for name in clouds.classes if name not in known]:
        raise DataError(
            f"{source}: unknown {'class' if len(unknown) == 1 else 'classes'} "
            f"{', '.join(unknown)}; known are {', '.join(known)}"
        )
    index = np.array([known.index(name) for name in clouds.classes])
    return replace(clouds, label=index[clouds.label], classes=known)


def sample_clouds(
    clouds: Clouds,
    num_points: int,
    sampling: str,
    seed: int,
    strict: bool,
    source: Path,
    features: Sequence[str] = (),
) -> list[Sampled | Exception]:
    """Samples each cloud by its own seed; with ``strict`` the first error is raised."""
    have = clouds.points.shape[1]
    if have < num_points:
        raise DataError(
            f"{source}: its clouds have {have} points, {num_points} asked; ask for at most {have}"
        )
    if lacking := [name for name in features if name not in clouds.features]:
        raise DataError(
            f"{source}: has no {lacking[0]}, which are asked for; beside coordinates it has "
            f"{' and '.join(clouds.features) or 'nothing'}"
        )
    results: list[Sampled | Exception] = []
    for i, (points, label, name) in enumerate(
        zip(clouds.points, clouds.label, clouds.name, strict=True)
    ):
        own, where = shape_seed(seed, clouds.classes[label], name), f"{source}: {name}"
        try:
            cloud = PointCloud(
                check_cloud(points, where),
                **{name: clouds.features[name][i].astype(np.float64) for name in features},
            )
            points = sample_points(cloud, num_points, sampling, own, where, features)
            results.append(Sampled(points))
        except DataError as error:
            if strict:
                raise
            results.append(error)
    return results
