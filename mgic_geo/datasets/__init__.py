"""Data sets of labelled point clouds, as PyG data sets, and of labelled images."""

from typing import TYPE_CHECKING

from mgic_geo._lazy import at_first_use

if TYPE_CHECKING:
    from mgic_geo.datasets._base import CloudDataset
    from mgic_geo.datasets._novel import novel_split
    from mgic_geo.datasets._open import NAMED_DATASETS, open_dataset
    from mgic_geo.datasets._sampling import sample_points
    from mgic_geo.datasets._split import train_val_split
    from mgic_geo.datasets.clouds import PointClouds
    from mgic_geo.datasets.furniture import Furniture10
    from mgic_geo.datasets.images import (
        CamVid,
        Cifar10,
        Cifar100,
        Cityscapes,
        ImageDataset,
        ImageFolder,
        ImageNet,
        SegmentationFolder,
    )
    from mgic_geo.datasets.modelnet import MODELNET10_CLASSES, ModelNet10

__all__ = [
    "MODELNET10_CLASSES",
    "NAMED_DATASETS",
    "CamVid",
    "Cifar10",
    "Cifar100",
    "Cityscapes",
    "CloudDataset",
    "Furniture10",
    "ImageDataset",
    "ImageFolder",
    "ImageNet",
    "ModelNet10",
    "PointClouds",
    "SegmentationFolder",
    "novel_split",
    "open_dataset",
    "sample_points",
    "train_val_split",
]

__getattr__ = at_first_use(
    __name__,
    {
        "_base": ("CloudDataset",),
        "_novel": ("novel_split",),
        "_open": ("NAMED_DATASETS", "open_dataset"),
        "_sampling": ("sample_points",),
        "_split": ("train_val_split",),
        "clouds": ("PointClouds",),
        "furniture": ("Furniture10",),
        "images": (
            "CamVid",
            "Cifar10",
            "Cifar100",
            "Cityscapes",
            "ImageDataset",
            "ImageFolder",
            "ImageNet",
            "SegmentationFolder",
        ),
        "modelnet": ("MODELNET10_CLASSES", "ModelNet10"),
    },
)
