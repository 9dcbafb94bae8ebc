"""Data sets of images by their names, or by what lies in a folder or zip."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mgic_geo.datasets.images import (
    CIFAR10_CLASSES,
    CamVid,
    Cifar10,
    Cifar100,
    Cityscapes,
    ImageDataset,
    ImageFolder,
    ImageNet,
    SegmentationFolder,
)
from mgic_geo.datasets.images._classes import find_images, split_folders
from mgic_geo.datasets.images._files import FileTree
from mgic_geo.datasets.images.decode import UndecodableError, probe_image
from mgic_geo.datasets.images.segmentation import is_segmentation, segmentation_splits

IMAGE_DATASETS = ("cifar10", "cifar100", "imagenet", "camvid", "cityscapes")

#: What the names of all of CamVid's images begin with: its five films.
_CAMVID = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_")


def open_images(data: str, root: Path, split: str | None, **settings: Any) -> ImageDataset:
    """Opens a named data set, or a path.

    Args:
        data: One of :data:`IMAGE_DATASETS`, or the path of a folder or zip.
        root: Its folder for downloads and caches.
        split: By default ``"train"``.
        **settings: Further arguments of the class; ``source`` is where a named one lies.
    """
    part = split or "train"
    if data == "cifar10":
        return Cifar10(root, part, **settings)
    if data == "cifar100":
        return Cifar100(root, part, **settings)
    if data in IMAGE_DATASETS:  # those that lie where somebody has put them
        source = settings.pop("source", None) or root
        if data == "imagenet":
            return ImageNet(source, part, **settings)
        if data == "camvid":
            return CamVid(source, part, root, **settings)
        return Cityscapes(source, part, **settings)
    tree = FileTree(data)
    if is_segmentation(tree):
        if all(_CAMVID.match(path.rpartition("/")[2]) for path in tree.images()):
            return CamVid(data, part, root, **settings)
        chosen = part if segmentation_splits(tree) else split
        return SegmentationFolder(data, chosen, root, **settings)
    if _is_cifar10(tree):
        return Cifar10(root, part, data, **settings)
    return ImageFolder(data, part if split_folders(tree) else split, root, **settings)


def _is_cifar10(tree: FileTree) -> bool:
    top = tree.top()
    splits = split_folders(tree)
    classes = tree.folders(f"{top}/{splits[0]}".strip("/") if splits else top)
    if classes != list(CIFAR10_CLASSES):
        return False
    first = find_images(tree, splits[0] if splits else None).files[0]
    try:
        return probe_image(tree.read(first)) == (32, 32)
    except UndecodableError:
        return False
