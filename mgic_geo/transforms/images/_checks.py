"""What the image functions ask of their inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.errors import DataError


def as_batch(images: Tensor) -> Tensor:
    """Images ``[B, C, H, W]``; one image ``[C, H, W]`` is a batch of one."""
    if images.dim() not in (3, 4):
        raise DataError(f"images must be [B, C, H, W] or [C, H, W], got {list(images.shape)}")
    check_range_type(images)
    return images if images.dim() == 4 else images[None]


def check_image(image: Tensor) -> None:
    """Raises :class:`DataError` unless it is one image ``[C, H, W]`` of a known type."""
    if image.dim() != 3 or 0 in image.shape:
        raise DataError(f"image must be [C, H, W], got {list(image.shape)}")
    check_range_type(image)


def check_range_type(images: Tensor) -> None:
    """Raises :class:`DataError` for types whose range of values is unknown."""
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise DataError(f"images must be uint8 or floating-point, got {images.dtype}")


def pair(size: int | tuple[int, int], name: str) -> tuple[int, int]:
    """Height and width, both at least 1."""
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise DataError(f"{name} must be at least 1, got {size}")
    return height, width
