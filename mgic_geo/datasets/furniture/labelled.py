"""Furniture-10 with the parts of its pieces as labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch_geometric.data import Data

from mgic_geo.datasets._point_labels import PointLabelDataset
from mgic_geo.io import parse_features

from .dataset import sample_furniture, shapes_of_class
from .shapes import CLASSES, PARTS


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
        count = shapes_of_class(split, shapes_per_class, num_points, seed)
        points, part, names = sample_furniture(
            split, count, num_points, seed, features, "furniture10-parts"
        )
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
