"""Predictions for many images, by whole images and by pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mgic_geo.datasets.images import ImageDataset
from mgic_geo.errors import DataError
from mgic_geo.training.metrics import ConfusionMatrix
from mgic_geo.training.preprocess import Preprocess
from mgic_geo.training.scores import ImageScores, SegmentationScores

_BATCH = 128


@torch.no_grad()
def evaluate_images(
    model: nn.Module,
    dataset: ImageDataset,
    preprocess: Preprocess,
    num_classes: int,
    device: str | torch.device = "cpu",
    workers: int = 0,
) -> ImageScores:
    """Top-1 and top-5 accuracy of a model on labelled images; it goes to evaluation mode.

    Args:
        model: Gives logits ``[B, C]``.
        dataset: Images with a class each.
        preprocess: What brings an image to the model.
        num_classes: Number of classes :math:`C`.
        device: Where the model is.
        workers: Processes that decode images.

    Returns:
        Top-1 and top-5 accuracy, and the mean cross-entropy.

    Example:
        >>> import torch
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import ImageFolder
        >>> from mgic_geo.testing import write_tiny_image_tree
        >>> from mgic_geo.training import Preprocess, evaluate_images
        >>> model = torch.nn.Sequential(
        ...     torch.nn.Conv2d(3, 3, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        ... )
        >>> preprocess = Preprocess(16, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        >>> with TemporaryDirectory() as folder:
        ...     dataset = ImageFolder(write_tiny_image_tree(folder, images=2))
        ...     scores = evaluate_images(model, dataset, preprocess, num_classes=3)
        >>> scores.top5  # one of three classes is among the five likeliest
        1.0
    """
    model.eval()
    matrix = ConfusionMatrix(num_classes)
    loss, top5, count = torch.zeros((), dtype=torch.float64), 0, 0
    for images, label in _image_batches(dataset, preprocess, workers):
        logits = model(preprocess.normalize(images.to(device))).float().cpu()
        matrix.update(logits.argmax(dim=1), label)
        loss += F.cross_entropy(logits, label, reduction="sum")
        likely = logits.topk(min(5, num_classes), dim=1).indices
        top5 += int((likely == label[:, None]).any(dim=1).sum())
        count += label.numel()
    return ImageScores(matrix, float(loss) / max(count, 1), top5 / max(count, 1))


@torch.no_grad()
def evaluate_segmentation(
    model: nn.Module,
    dataset: ImageDataset,
    preprocess: Preprocess,
    num_classes: int,
    device: str | torch.device = "cpu",
    workers: int = 0,
) -> SegmentationScores:
    """Mean intersection over union of a model on images with masks; it goes to evaluation mode.

    Images are taken whole, one at a time, of whatever size; pixels without a class do not count.

    Args:
        model: Gives logits ``[B, C, h, w]``.
        dataset: Images with a class for each pixel.
        preprocess: What brings an image to the model.
        num_classes: Number of classes :math:`C`.
        device: Where the model is.
        workers: Processes that decode images.

    Returns:
        Intersection over union, accuracy, and the mean cross-entropy.

    Raises:
        DataError: No pixel has a class.

    Example:
        >>> import torch
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import SegmentationFolder
        >>> from mgic_geo.testing import write_tiny_segmentation_tree
        >>> from mgic_geo.training import Preprocess, evaluate_segmentation
        >>> model = torch.nn.Conv2d(3, 3, kernel_size=1)
        >>> preprocess = Preprocess(None, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        >>> with TemporaryDirectory() as folder:
        ...     dataset = SegmentationFolder(write_tiny_segmentation_tree(folder, images=2))
        ...     scores = evaluate_segmentation(model, dataset, preprocess, num_classes=3)
        >>> scores.num_images, 0.0 <= scores.score <= 1.0
        (2, True)
    """
    model.eval()
    ignore = dataset.ignore_index
    matrix = ConfusionMatrix(num_classes, ignore)
    loss, pixels = 0.0, 0
    for image, mask in DataLoader(dataset, batch_size=None, num_workers=workers):
        mask = mask.long().to(device)
        logits = segment(model, image, preprocess, device)
        matrix.update(logits.argmax(dim=0), mask)
        counted = torch.ones_like(mask, dtype=torch.bool) if ignore is None else mask != ignore
        loss += float(
            F.cross_entropy(logits.movedim(0, -1)[counted], mask[counted], reduction="sum")
        )
        pixels += int(counted.sum())
    if pixels == 0:
        raise DataError("none of the pixels to evaluate on has a class")
    return SegmentationScores(matrix, loss / max(pixels, 1), len(dataset))


@torch.no_grad()
def classify(
    model: nn.Module, image: Tensor, preprocess: Preprocess, device: str | torch.device = "cpu"
) -> Tensor:
    """Logits of one image, which is resized, cropped and normalised first.

    Args:
        model: Gives logits ``[B, C]``; it goes to evaluation mode.
        image: uint8 ``[3, H, W]``.
        preprocess: What the weights were trained with, see :meth:`Preprocess.of`.
        device: Where the model is.

    Returns:
        Logits ``[C]``, float32 on the CPU.

    Example:
        >>> import torch
        >>> from mgic_geo.models import create_model
        >>> from mgic_geo.training import Preprocess, classify
        >>> preprocess = Preprocess(32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        >>> image = torch.zeros(3, 40, 60, dtype=torch.uint8)
        >>> classify(create_model("resnet20", num_classes=4), image, preprocess).shape
        torch.Size([4])
    """
    inputs = preprocess.normalize(preprocess.crop(image)[None].to(device))
    return model.eval()(inputs)[0].float().cpu()


@torch.no_grad()
def segment(
    model: nn.Module, image: Tensor, preprocess: Preprocess, device: str | torch.device = "cpu"
) -> Tensor:
    """Logits of each pixel of one image, in the image's own size.

    Args:
        model: Gives logits ``[B, C, h, w]``; it goes to evaluation mode.
        image: uint8 ``[3, H, W]``.
        preprocess: What the weights were trained with, see :meth:`Preprocess.of`.
        device: Where the model is, and the result.

    Returns:
        Logits ``[C, H, W]``, float32.

    Example:
        >>> import torch
        >>> from mgic_geo.training import Preprocess, segment
        >>> preprocess = Preprocess(32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        >>> image = torch.zeros(3, 40, 60, dtype=torch.uint8)
        >>> segment(torch.nn.Conv2d(3, 5, kernel_size=1), image, preprocess).shape
        torch.Size([5, 40, 60])
    """
    logits = model.eval()(preprocess.whole(image.to(device))).float()
    return fit_logits(logits, image)[0]


def fit_logits(logits: Tensor, like: Tensor) -> Tensor:
    """Resizes logits ``[B, C, h, w]`` to the last two axes of another tensor."""
    size = like.shape[-2:]
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def _image_batches(
    dataset: ImageDataset, preprocess: Preprocess, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images in the size of the network, uint8, and their labels."""
    images = getattr(dataset, "images", None)
    if images is not None and tuple(images.shape[2:]) == (preprocess.size,) * 2:
        assert dataset.labels is not None
        yield from zip(images.split(_BATCH), dataset.labels.split(_BATCH))
    else:
        # whole images of any size do not fit into one batch
        size = 1 if preprocess.size is None else _BATCH
        yield from DataLoader(_Cropped(dataset, preprocess), size, num_workers=workers)


class _Cropped(Dataset[Any]):
    def __init__(self, dataset: ImageDataset, preprocess: Preprocess) -> None:
        self.dataset, self.preprocess = dataset, preprocess

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.dataset[index]
        return self.preprocess.crop(image), int(label)
