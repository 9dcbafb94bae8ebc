"""Furniture-10 with the parts of its pieces as labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch_geometric.data import Data

from mgic_geo.datasets._point_labels import PointLabelDataset
from mgic_geo.errors import DataError
from mgic_geo.io import parse_features
from mgic_geo.io.features import feature_width, mesh_features
from mgic_geo.transforms.sampling import surface_places

from .dataset import PER_CLASS
from .shapes import CLASSES, PARTS, SPLITS, furniture_parts, shape_seed


class Furniture10Parts(PointLabelDataset):
    """The clouds of :class:`Furniture10`, with the part that each point is of; made on the spot.

    Items are ``Data(pos=[n, 3], y=[n], category=[1], name=str)``, ``y`` being numbers in
    :data:`~mgic_geo.datasets.furniture.FURNITURE_PARTS`: ``arm``, ``back``, ``basin``, ``body``,
    ``drawer``, ``leg``, ``mattress``, ``other``, ``pillow``, ``screen``, ``seat``, ``tank`` and
    ``top``, whatever the class of the piece, which is its category. With the same seed the points
    are those of :class:`Furniture10`, one by one.

    Args:
        split: ``"train"`` or ``"test"``; no shape is in both.
        shapes_per_class: Number of shapes of each class of furniture; 60 for training and 20 for
            testing if not given.
        num_points: Points a shape.
        seed: Decides everything.
        transform: Called with each item that is taken.
        features: ``"normals"`` or nothing, as in :class:`~mgic_geo.datasets.PointClouds`.

    Raises:
        DataError: An unknown split, or a number below one.

    Example:
        >>> from mgic_geo.datasets.furniture import Furniture10Parts
        >>> dataset = Furniture10Parts("test", shapes_per_class=1, num_points=64)
        >>> dataset[0]
        Data(y=[64], pos=[64, 3], name='bathtub_0001', category=[1])
        >>> [dataset.classes[i] for i in dataset[9].y.unique()]
        ['basin', 'tank']
    """

    def __init__(
        self,
        split: str = "train",
        shapes_per_class: int | None = None,
        num_points: int = 1024,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        features: str | Sequence[str] = (),
    ) -> None:
        features = parse_features(features)
        if split not in SPLITS:
            raise DataError(f"split must be one of {', '.join(SPLITS)}, got '{split}'")
        count = PER_CLASS[split] if shapes_per_class is None else shapes_per_class
        if count < 1 or num_points < 1 or seed < 0:
            raise DataError(
                "shapes_per_class and num_points must be at least 1 and seed at least 0, got "
                f"{count}, {num_points} and {seed}"
            )
        total = len(CLASSES) * count
        points = np.empty((total, num_points, 3 + feature_width(features)), dtype=np.float32)
        part = np.empty((total, num_points), dtype=np.int64)
        names: list[str] = []
        for index, class_name in enumerate(CLASSES):
            for number in range(1, count + 1):
                rng = np.random.default_rng(shape_seed(seed, split, index, number))
                mesh, of_face = furniture_parts(class_name, rng)
                pos, face, weights = surface_places(mesh.vertices, mesh.faces, num_points, rng)
                beside = mesh_features(mesh, features, face, weights, "furniture10-parts")
                points[len(names)] = np.concatenate([pos, beside], axis=1)
                part[len(names)] = of_face[face]
                names.append(f"{class_name}_{number:04d}")
        super().__init__(
            torch.from_numpy(points),
            torch.from_numpy(part),
            PARTS,
            torch.arange(len(CLASSES)).repeat_interleave(count),
            CLASSES,
            names,
            transform=transform,
            feature_names=features,
        )
        self.split, self.seed = split, seed
