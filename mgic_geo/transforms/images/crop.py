"""Random shifts of whole batches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mgic_geo.errors import DataError

from ._checks import as_batch


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pads every image with black and cuts its own size out again, at a place of its own.

    The usual augmentation of CIFAR, with ``padding=4``: `"Deeply-Supervised Nets"
    <https://arxiv.org/abs/1409.5185>`_.

    Args:
        images: ``[B, C, H, W]``, or one image ``[C, H, W]``.
        padding: Pixels added on each side, so that an image moves by up to as many.
        generator: Source of all draws, made on its device.

    Returns:
        New images, of the same shape and type.

    Raises:
        DataError: A negative padding, or something else than images.
    """
    batch = as_batch(images)
    if padding < 0:
        raise DataError(f"padding must be at least 0, got {padding}")
    count, _, height, width = batch.shape
    offsets = torch.randint(
        0, 2 * padding + 1, (2, count), generator=generator, device=generator.device
    )
    top, left = offsets.to(batch.device)
    windows = F.pad(batch, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    # the channels between the indexed axes: [B, C, top, left, H, W] -> [B, C, H, W]
    out = windows[torch.arange(count, device=batch.device), :, top, left]
    return out.view(images.shape)
