"""Clouds with a class for each point, in memory, as a PyG data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from mgic_geo.datasets._base import CloudDataset
from mgic_geo.datasets._cache import SampledClouds
from mgic_geo.errors import DataError

Item = TypeVar("Item")


class PointLabelDataset(CloudDataset):
    """Clouds with a class for each point: items ``Data(pos=[n, 3], y=[n], category=[1], name)``.

    Args:
        points: Coordinates and, behind them, the columns of the features, float32
            ``[M, n, 3 + F]``.
        point_labels: Class of each point, int64 ``[M, n]``; -1 for one without.
        classes: Names of the classes of points.
        labels: Category of each cloud, int64 ``[M]``: what it is as a whole. Splits take their
            share of each.
        categories: Names of the categories.
        names: Name of each cloud.
        root: Folder of the data set, if it has one.
        transform: Called with each item that is taken.
        feature_names: Names of :data:`mgic_geo.io.FEATURES`, in the order of their columns.
        allowed: Classes that occur in clouds of a category, bool ``[K, C]``, where the protocol of
            the data set says that the category is known and others are no answer.

    Attributes:
        bad_files: ``(name, reason)`` of every cloud that was left out.

    Raises:
        DataError: The tensors do not fit each other.

    Example:
        >>> import torch
        >>> from mgic_geo.datasets import PointLabelDataset
        >>> points, part = torch.rand(2, 16, 3), torch.zeros(2, 16, dtype=torch.long)
        >>> category = torch.tensor([0, 1])
        >>> dataset = PointLabelDataset(
        ...     points, part, ("leg", "top"), category, ("chair", "table"), names=("a", "b")
        ... )
        >>> dataset[1]
        Data(y=[16], pos=[16, 3], name='b', category=[1])
    """

    bad_files: tuple[tuple[str, str], ...] = ()

    def __init__(
        self,
        points: Tensor,
        point_labels: Tensor,
        classes: Sequence[str],
        labels: Tensor,
        categories: Sequence[str],
        names: Sequence[str],
        root: str | os.PathLike[str] | None = None,
        transform: Callable[[Data], Data] | None = None,
        feature_names: Sequence[str] = (),
        allowed: Tensor | None = None,
    ) -> None:
        super().__init__(points, labels, classes, names, root, transform, feature_names)
        if point_labels.shape != points.shape[:2]:
            raise DataError(
                f"point_labels have shape {list(point_labels.shape)}, points "
                f"{list(points.shape)}: there must be one for each point"
            )
        if point_labels.numel() and not -1 <= int(point_labels.min()) <= int(
            point_labels.max()
        ) < len(self.classes):
            raise DataError(
                f"point_labels must be in [-1, {len(self.classes) - 1}], found "
                f"{int(point_labels.min())} to {int(point_labels.max())}"
            )
        self._point_labels = point_labels
        self.categories = tuple(categories)
        self.allowed = allowed

    @property
    def point_labels(self) -> Tensor:
        """Class of each point of this (part of the) data set, ``[M, n]``."""
        if self._indices is None:
            return self._point_labels
        return self._point_labels[list(self._indices)]

    def get(self, idx: int) -> Data:
        item = super().get(idx)
        item.category = item.y
        item.y = self._point_labels[idx].clone()
        return item


class Labelled(NamedTuple):
    """A cloud ``[n, 3 + F]``, the class of each point, the category and the name of the whole."""

    points: NDArray[Any]
    label: NDArray[Any]
    category: int
    name: str


def read_all(
    items: Sequence[tuple[str, Item]],
    read: Callable[[Item], Iterable[Labelled]],
    title: str,
    unit: str,
    nothing: str,
    strict: bool,
    progress: bool | None,
) -> SampledClouds:
    """The clouds of all items but of those that cannot be read, as a cache holds them.

    Args:
        items: Files or folders with their names.
        read: The clouds of one, all of one size.
        title: Of the bar.
        unit: What an item is called.
        nothing: What is said if there is no cloud.
        strict: Raise at the first unusable one.
        progress: Whether to show a bar; None where the error output is a terminal.

    Raises:
        DataError: There is no cloud; or, with ``strict``, an item is unusable.
    """
    found: list[Labelled] = []
    bad: list[tuple[str, str]] = []
    for name, item in tqdm(items, title, disable=None if progress is None else not progress):
        try:
            clouds = [one._replace(points=_packed(one)) for one in read(item)]
        except (DataError, OSError) as error:
            if strict:
                raise
            bad.append((name, str(error)))
        else:
            found += clouds
    if not found:
        first = f"; the first unusable {unit}: {bad[0][1]}" if bad else ""
        raise DataError(f"{nothing}{first}")
    return SampledClouds(
        torch.from_numpy(np.stack([one.points for one in found])),
        torch.tensor([one.category for one in found], dtype=torch.long),
        tuple(one.name for one in found),
        tuple(bad),
    )


def _packed(cloud: Labelled) -> NDArray[np.float32]:
    """Points with their labels as the last column, where small whole numbers are exact."""
    return np.concatenate([cloud.points, cloud.label[:, None]], axis=1).astype(np.float32)


def unpack(sampled: SampledClouds) -> tuple[Tensor, Tensor]:
    """Points ``[M, n, 3 + F]`` and their labels ``[M, n]`` of packed clouds."""
    return sampled.points[..., :-1].contiguous(), sampled.points[..., -1].long()


def choose(count: int, num_points: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which of ``count`` points make a cloud of ``num_points``.

    At random, without repeats where there are enough; of fewer points all, and some of them again,
    as the published protocols have it.
    """
    if count >= num_points:
        return rng.choice(count, num_points, replace=False)
    whole, rest = divmod(num_points, count)
    again = rng.choice(count, rest, replace=False)
    return np.concatenate([np.tile(np.arange(count), whole), again])
