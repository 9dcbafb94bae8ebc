"""Labelled clouds in memory, as a PyG data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset


class CloudDataset(Dataset):
    """Point clouds of one size; items are ``Data(pos=[n, 3], y=[1], name=str)``.

    Args:
        points: Coordinates, float32 ``[M, n, 3]``.
        labels: Class indices, int64 ``[M]``.
        classes: Class names.
        names: Name of each cloud.
        root: Folder of the data set, if it has one.
        transform: Called with each item that is taken.

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
    ) -> None:
        super().__init__(None if root is None else os.fspath(root), transform)
        self._points, self._labels, self._names = points, labels, tuple(names)
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
        return Data(
            pos=self._points[idx].clone(),
            y=self._labels[idx : idx + 1].clone(),
            name=self._names[idx],
        )


def as_tensors(points: object, labels: object) -> tuple[Tensor, Tensor]:
    """Clouds as float32 and labels as int64, contiguous, sharing memory where they can."""
    return (
        torch.as_tensor(points, dtype=torch.float32).contiguous(),
        torch.as_tensor(labels, dtype=torch.int64).contiguous(),
    )
