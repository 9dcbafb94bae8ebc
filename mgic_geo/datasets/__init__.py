"""Data sets of labelled point clouds, as PyG data sets, and of labelled images."""

from typing import TYPE_CHECKING

from mgic_geo._lazy import at_first_use

if TYPE_CHECKING:
    from mgic_geo.datasets._base import CloudDataset
    from mgic_geo.datasets._novel import novel_split
    from mgic_geo.datasets._open import NAMED_DATASETS, open_dataset
    from mgic_geo.datasets._point_labels import PointLabelDataset
    from mgic_geo.datasets._sampling import sample_points
    from mgic_geo.datasets._split import train_val_split
    from mgic_geo.datasets.clouds import PointClouds
    from mgic_geo.datasets.furniture import Furniture10, Furniture10Parts
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
    from mgic_geo.datasets.s3dis import S3DIS, S3DIS_CLASSES
    from mgic_geo.datasets.shapenet_part import SHAPENET_PARTS, ShapeNetPart

__all__ = [
    "MODELNET10_CLASSES",
    "NAMED_DATASETS",
    "S3DIS",
    "S3DIS_CLASSES",
    "SHAPENET_PARTS",
    "CamVid",
    "Cifar10",
    "Cifar100",
    "Cityscapes",
    "CloudDataset",
    "Furniture10",
    "Furniture10Parts",
    "ImageDataset",
    "ImageFolder",
    "ImageNet",
    "ModelNet10",
    "PointClouds",
    "PointLabelDataset",
    "SegmentationFolder",
    "ShapeNetPart",
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
        "_point_labels": ("PointLabelDataset",),
        "_sampling": ("sample_points",),
        "_split": ("train_val_split",),
        "clouds": ("PointClouds",),
        "furniture": ("Furniture10", "Furniture10Parts"),
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
        "s3dis": ("S3DIS", "S3DIS_CLASSES"),
        "shapenet_part": ("SHAPENET_PARTS", "ShapeNetPart"),
    },
)
