"""Labelled images and labelled pixels, decoded by Pillow (the extra ``images``)."""

from mgic_geo.datasets.images._base import ImageDataset
from mgic_geo.datasets.images.camvid import CAMVID_CLASSES, CamVid
from mgic_geo.datasets.images.cifar import CIFAR10_CLASSES, CIFAR100_CLASSES, Cifar10, Cifar100
from mgic_geo.datasets.images.cityscapes import CITYSCAPES_CLASSES, Cityscapes
from mgic_geo.datasets.images.decode import decode_image, read_image
from mgic_geo.datasets.images.folder import ImageFolder
from mgic_geo.datasets.images.imagenet import ImageNet
from mgic_geo.datasets.images.segmentation import SegmentationFolder

__all__ = [
    "CAMVID_CLASSES",
    "CIFAR10_CLASSES",
    "CIFAR100_CLASSES",
    "CITYSCAPES_CLASSES",
    "CamVid",
    "Cifar10",
    "Cifar100",
    "Cityscapes",
    "ImageDataset",
    "ImageFolder",
    "ImageNet",
    "SegmentationFolder",
    "decode_image",
    "read_image",
]
