"""Resizing of images and of the classes of their pixels, on the same grid."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def resize_image(image: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, with antialiasing where it shrinks: ``[C, H, W]`` -> ``[C, height, width]``."""
    if image.shape[1:] == (height, width):
        return image.clone()
    # torch has a fast uint8 kernel on the CPU only
    working = image if image.is_floating_point() or image.device.type == "cpu" else image.float()
    out = F.interpolate(
        working[None], (height, width), mode="bilinear", antialias=True, align_corners=False
    )[0]
    if image.is_floating_point():
        return out
    return out if out.dtype == image.dtype else out.round_().clamp_(0, 255).to(image.dtype)


def resize_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """The class at the centre of each new pixel: ``[H, W]`` -> ``[height, width]``."""
    rows, columns = (
        ((2 * torch.arange(new, device=mask.device) + 1) * old).div(2 * new, rounding_mode="floor")
        for old, new in zip(mask.shape, (height, width))
    )
    return mask[rows[:, None], columns]
