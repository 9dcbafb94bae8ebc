"""What all data sets of images have in common."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

_Self = TypeVar("_Self", bound="ImageDataset")
ImageKind = Literal["classification", "segmentation"]


class ImageDataset(Dataset[tuple[Tensor, Any]]):
    """Images with a class each, or with a class for each pixel.

    Items are ``(image, label)``, uint8 ``[3, H, W]`` and an integer, or ``(image, mask)``, with
    the mask uint8 ``[H, W]``. Sizes may differ from item to item.

    Args:
        names: Name of each image.
        classes: Class names.
        labels: Class of each image, int64 ``[M]``; :obj:`None` where each pixel has one.
        ignore_index: Value of a mask's pixels that belong to no class.
        bad_files: ``(name, reason)`` of every image that was left out.

    Attributes:
        kind: ``"classification"`` or ``"segmentation"``.
        mean: Mean of each channel, of pixels in [0, 1]; ImageNet's by default.
        std: Standard deviation of each channel, likewise.

    Example:
        Each data set of images has this interface, here a folder of them.

        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import ImageFolder
        >>> from mgic_geo.testing import write_tiny_image_tree
        >>> with TemporaryDirectory() as folder:
        ...     dataset = ImageFolder(write_tiny_image_tree(folder, images=2))
        ...     image, label = dataset[0]
        >>> dataset, dataset.subset([0, 5]).labels
        (ImageFolder(6 images, 3 classes), tensor([0, 2]))
        >>> image.shape, image.dtype, label, dataset.kind
        (torch.Size([3, 16, 16]), torch.uint8, 0, 'classification')
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __init__(
        self,
        names: Sequence[str],
        classes: Sequence[str],
        labels: Tensor | None,
        ignore_index: int | None = None,
        bad_files: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.names = tuple(names)
        self.classes = tuple(classes)
        self.labels = labels
        self.ignore_index = ignore_index
        self.bad_files = tuple(bad_files)

    @property
    def kind(self) -> ImageKind:
        return "segmentation" if self.labels is None else "classification"

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        index = range(len(self))[index]  # so that iteration ends
        image, mask = self._load(index)
        return image, mask if self.labels is None else int(self.labels[index])

    def subset(self: _Self, indices: Tensor | Sequence[int]) -> _Self:
        """The same data set with some of its images, in this order."""
        part = copy.copy(self)
        part._take(torch.as_tensor(indices, dtype=torch.int64))
        return part

    def _load(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Image and mask, or image and :obj:`None`."""
        raise NotImplementedError

    def _take(self, indices: Tensor) -> None:
        self.names = tuple(self.names[i] for i in indices.tolist())
        if self.labels is not None:
            self.labels = self.labels[indices]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images, {self.num_classes} classes)"


class MemoryImages(ImageDataset):
    """Images of one size, all in memory.

    Attributes:
        images: uint8 ``[M, 3, H, W]``.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        names: Sequence[str],
        classes: Sequence[str],
        bad_files: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(names, classes, labels, bad_files=bad_files)
        self.images = images

    def _load(self, index: int) -> tuple[Tensor, Tensor | None]:
        # a copy: what a transform does in place must not reach the stored images
        return self.images[index].clone(), None

    def _take(self, indices: Tensor) -> None:
        super()._take(indices)
        self.images = self.images[indices]
