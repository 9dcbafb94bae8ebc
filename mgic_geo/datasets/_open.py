"""Data sets by what a user calls them."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

from mgic_geo.datasets._open_images import IMAGE_DATASETS, open_images
from mgic_geo.datasets._point_labels_npz import has_point_labels, open_point_labels
from mgic_geo.datasets._tree import SUFFIXES
from mgic_geo.datasets.clouds import PointClouds
from mgic_geo.datasets.furniture import Furniture10, Furniture10Parts
from mgic_geo.datasets.images._files import SUFFIXES as IMAGE_SUFFIXES
from mgic_geo.datasets.modelnet import ModelNet10
from mgic_geo.datasets.s3dis import S3DIS
from mgic_geo.datasets.shapenet_part import ShapeNetPart
from mgic_geo.errors import DataError
from mgic_geo.io import shape_suffix

_MADE = ("furniture10", "furniture10-parts")
_POINT_LABELS = ("furniture10-parts", "shapenet-part", "s3dis")
NAMED_DATASETS = ("furniture10", "modelnet10", *_POINT_LABELS, *IMAGE_DATASETS)

_LISTS = (".txt", ".csv")
_LOOKED_AT = 2000  # files that tell a folder of shapes from one of images


def open_dataset(
    data: str,
    root: str | os.PathLike[str] = "datasets",
    split: str | None = None,
    num_points: int = 1024,
    **settings: Any,
) -> Any:
    """Opens a data set of point clouds or of images by its name, or a user's own files.

    Names of clouds are ``furniture10`` and ``modelnet10``, of clouds with a class for each point
    ``furniture10-parts``, ``shapenet-part`` and ``s3dis``, of images ``cifar10``, ``cifar100``,
    ``imagenet``, ``camvid`` and ``cityscapes``. An NPZ or HDF5 file or a folder of shapes becomes
    :class:`PointClouds`, or, of an NPZ with ``point_label``, :class:`PointLabelDataset`; a zip or a
    folder of images :class:`ImageFolder`, or, with ``images/`` and ``labels/`` in it,
    :class:`SegmentationFolder`. Of images, the classes of CIFAR-10 at 32 x 32 pixels and the file
    names of CamVid are recognised, too.

    Args:
        data: One of those names, or a path.
        root: Folder for downloads and caches, a folder below it for each data set.
        split: ``"train"``, ``"test"``, or for some images ``"val"``; by default the training split,
            and all clouds of a file or folder.
        num_points: Points a cloud; images have none.
        **settings: Further arguments of the data set's class.

    Returns:
        A :class:`CloudDataset` or an :class:`ImageDataset`.

    Raises:
        DataError: There is no such data set, or not this split of it.

    Example:
        >>> from mgic_geo.datasets import open_dataset
        >>> dataset = open_dataset("furniture10", num_points=32, shapes_per_class=1)
        >>> dataset.points.shape
        torch.Size([10, 32, 3])
    """
    if settings.get("source") is not None and (data in _MADE or data not in NAMED_DATASETS):
        raise DataError(f"source is for data sets that have a name; {data} is its own source")
    if data == "furniture10":
        return Furniture10(None, split or "train", num_points=num_points, **settings)
    if data == "furniture10-parts":
        return Furniture10Parts(split or "train", num_points=num_points, **settings)
    if data in _POINT_LABELS:
        kind = ShapeNetPart if data == "shapenet-part" else S3DIS
        return kind(Path(root) / data, split or "train", num_points, **settings)
    if data == "modelnet10":
        return ModelNet10(Path(root) / data, split or "train", num_points, **settings)
    if data in IMAGE_DATASETS:
        return open_images(data, Path(root) / data, split, **settings)
    source = Path(data)
    if not source.exists():
        raise DataError(
            f"no data set {data!r}: give {', '.join(NAMED_DATASETS)}, an npz file, a folder "
            "of shapes, or a folder or zip of images"
        )
    if has_point_labels(source):
        return open_point_labels(source, split, num_points, **settings)
    cache = Path(root) / source.resolve().stem
    if cache.resolve() == source.resolve():
        cache = cache.with_name(f"{cache.name}-sampled")  # never among the user's class folders
    if is_image_data(data):
        return open_images(data, cache, split, **settings)
    return PointClouds(source, cache, split=split, num_points=num_points, **settings)


def is_image_data(data: str) -> bool:
    """Whether :func:`open_dataset` gives images for this name or path."""
    source = Path(data)
    if data in NAMED_DATASETS or not source.is_dir():
        return data in IMAGE_DATASETS or source.suffix.lower() == ".zip"
    files = (name for _, _, names in os.walk(source, followlinks=True) for name in names)
    first = [shape_suffix(name) for name in islice(files, _LOOKED_AT)]
    # shapes may lie beside images of their textures, and images beside lists in text
    return not any(s in SUFFIXES and s not in _LISTS for s in first) and any(
        s in IMAGE_SUFFIXES for s in first
    )
