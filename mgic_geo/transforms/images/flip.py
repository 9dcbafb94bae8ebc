"""Random mirror images."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor

from mgic_geo.errors import DataError

from ._checks import as_batch


@overload
def random_flip(images: Tensor, generator: torch.Generator, p: float = ...) -> Tensor: ...
@overload
def random_flip(
    images: Tensor, generator: torch.Generator, p: float = ..., *, masks: Tensor
) -> tuple[Tensor, Tensor]: ...
def random_flip(
    images: Tensor, generator: torch.Generator, p: float = 0.5, *, masks: Tensor | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Mirrors images left to right, each with probability ``p``.

    Args:
        images: ``[B, C, H, W]``, or one image ``[C, H, W]``.
        generator: Source of all draws, made on its device.
        p: Probability, in [0, 1].
        masks: Class of each pixel, ``[B, H, W]`` (or ``[H, W]``), mirrored with their images.

    Returns:
        New images ``[B, C, H, W]`` or ``[C, H, W]``, of the same type; with ``masks``, images and
        masks.

    Raises:
        DataError: A probability out of range, or shapes that do not fit.

    Example:
        >>> import torch
        >>> generator = torch.Generator().manual_seed(0)
        >>> from mgic_geo.transforms.images import random_flip
        >>> image = torch.tensor([[[1.0, 2.0, 3.0]]])  # one channel, one row
        >>> random_flip(image, generator, p=1.0).tolist()
        [[[3.0, 2.0, 1.0]]]
    """
    if not 0.0 <= p <= 1.0:
        raise DataError(f"p must be between 0 and 1, got {p}")
    batch = as_batch(images)
    draw = torch.rand(batch.size(0), generator=generator, device=generator.device)
    flip = (draw < p).to(batch.device)
    out = torch.where(flip[:, None, None, None], batch.flip(-1), batch).view(images.shape)
    if masks is None:
        return out
    if masks.shape != images.shape[:-3] + images.shape[-2:]:
        raise DataError(f"masks {list(masks.shape)} do not fit images {list(images.shape)}")
    planes = masks.view(-1, *masks.shape[-2:])
    mirrored = torch.where(flip[:, None, None], planes.flip(-1), planes)
    return out, mirrored.view(masks.shape)
