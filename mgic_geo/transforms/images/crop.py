"""Random shifts of whole batches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mgic_geo.errors import DataError

from ._checks import as_batch


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Pads every image with black and cuts a random window of the old size out of it.

    The usual augmentation of CIFAR, with ``padding=4``: `"Deeply-Supervised Nets"
    <https://arxiv.org/abs/1409.5185>`_.

    Args:
        images: ``[B, C, H, W]``, or one image ``[C, H, W]``.
        padding: Pixels added on each side; an image moves by as many at most.
        generator: Source of all draws, made on its device.

    Returns:
        New images ``[B, C, H, W]`` or ``[C, H, W]``, of the same type.

    Raises:
        DataError: A negative padding, or something else than images.

    Example:
        >>> import torch
        >>> generator = torch.Generator().manual_seed(0)
        >>> from mgic_geo.transforms.images import random_crop
        >>> images = torch.ones(4, 3, 32, 32)
        >>> random_crop(images, padding=4, generator=generator).shape
        torch.Size([4, 3, 32, 32])
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
