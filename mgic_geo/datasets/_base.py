"""Labelled clouds in memory, as a PyG data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset

from mgic_geo.errors import DataError
from mgic_geo.io.features import feature_width


class CloudDataset(Dataset):
    """Point clouds of one size; items are ``Data(pos=[n, 3], y=[1], name=str)``.

    With features items have ``x=[n, F]``, too.

    Args:
        points: Coordinates and, behind them, the columns of the features, float32
            ``[M, n, 3 + F]``.
        labels: Class indices, int64 ``[M]``.
        classes: Class names.
        names: Name of each cloud.
        root: Folder of the data set, if it has one.
        transform: Called with each item that is taken.
        feature_names: Names of :data:`mgic_geo.io.FEATURES`, in the order of their columns.

    Raises:
        DataError: The number of columns is not that of coordinates and features.

    Example:
        >>> import torch
        >>> from mgic_geo.datasets import CloudDataset
        >>> points, labels = torch.rand(3, 16, 3), torch.tensor([0, 1, 1])
        >>> dataset = CloudDataset(points, labels, classes=["chair", "sofa"], names=["a", "b", "c"])
        >>> dataset[2]
        Data(y=[1], pos=[16, 3], name='c')
        >>> dataset[:2].points.shape  # a part of it, as one tensor
        torch.Size([2, 16, 3])
    """

    def __init__(
        self,
        points: Tensor,
        labels: Tensor,
        classes: Sequence[str],
        names: Sequence[str],
        root: str | os.PathLike[str] | None = None,
        transform: Callable[[Data], Data] | None = None,
        feature_names: Sequence[str] = (),
    ) -> None:
        super().__init__(None if root is None else os.fspath(root), transform)
        self._points, self._labels, self._names = points, labels, tuple(names)
        self.feature_names = tuple(feature_names)
        if points.size(2) != 3 + feature_width(self.feature_names):
            raise DataError(
                f"points have {points.size(2)} columns, coordinates and the features "
                f"{', '.join(self.feature_names) or '(none)'} "
                f"{3 + feature_width(self.feature_names)}"
            )
        self.classes = tuple(classes)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def num_points(self) -> int:
        return self._points.size(1)

    @property
    def points(self) -> Tensor:
        """All clouds of this (part of the) data set at once, ``[M, n, 3]``, without transform."""
        return self._all[..., :3]

    @property
    def features(self) -> Tensor:
        """What their points have beside coordinates, ``[M, n, F]``."""
        return self._all[..., 3:]

    @property
    def _all(self) -> Tensor:
        return self._points if self._indices is None else self._points[list(self._indices)]

    @property
    def labels(self) -> Tensor:
        """Their class indices, ``[M]``."""
        return self._labels if self._indices is None else self._labels[list(self._indices)]

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._names[i] for i in self.indices())

    def len(self) -> int:
        return len(self._names)

    def get(self, idx: int) -> Data:
        # a copy: what a transform does in place must not reach the stored clouds
        item = Data(
            pos=self._points[idx, :, :3].clone(),
            y=self._labels[idx : idx + 1].clone(),
            name=self._names[idx],
        )
        if self.feature_names:
            item.x = self._points[idx, :, 3:].clone()
        return item


def as_tensors(points: object, labels: object) -> tuple[Tensor, Tensor]:
    """Clouds as float32 and labels as int64, contiguous, sharing memory where they can."""
    return (
        torch.as_tensor(points, dtype=torch.float32).contiguous(),
        torch.as_tensor(labels, dtype=torch.int64).contiguous(),
    )
