"""From pixels to what a network takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mgic_geo.errors import DataError

from ._checks import check_range_type


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    r"""Shifts and scales every channel: :math:`(x - \mu_c) / \sigma_c` with :math:`x` in [0, 1].

    Args:
        images: ``[..., C, H, W]``, uint8 (divided by 255 first) or floating-point.
        mean: :math:`\mu`, one for each channel, of pixels in [0, 1].
        std: :math:`\sigma`, one for each channel, above 0.

    Returns:
        ``[..., C, H, W]`` in the same memory format; float32 for uint8, else of the same type.

    Raises:
        DataError: Lengths that differ from the number of channels, or a ``std`` that is not
            positive.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms.images import normalize
        >>> white = torch.full((2, 3, 4, 4), 255, dtype=torch.uint8)
        >>> normalize(white, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)).unique()
        tensor([2.])
    """
    check_range_type(images)
    if images.dim() < 3 or not len(mean) == len(std) == images.size(-3):
        raise DataError(
            f"images {list(images.shape)} need one mean and std for each channel, got "
            f"{len(mean)} and {len(std)}"
        )
    if min(std) <= 0.0:
        raise DataError(f"std must be positive, got {tuple(std)}")
    dtype = torch.float32 if images.dtype == torch.uint8 else images.dtype
    white = 255.0 if images.dtype == torch.uint8 else 1.0
    shape = (len(mean), 1, 1)
    scale = torch.tensor([white * s for s in std], dtype=dtype, device=images.device).view(shape)
    shift = torch.tensor([white * m for m in mean], dtype=dtype, device=images.device).view(shape)
    return (images - shift).div_(scale)
