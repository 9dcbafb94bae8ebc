"""Random changes of brightness, contrast and saturation."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.errors import DataError

from ._checks import as_batch

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright red, green and blue look


def color_jitter(
    images: Tensor,
    generator: torch.Generator,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
) -> Tensor:
    r"""Changes brightness, then contrast, then saturation, each image by factors of its own.

    Each step is :math:`x' = f x + (1 - f) r`, kept in range, with :math:`f \sim U(\max(0, 1 - a),
    1 + a)` for an option :math:`a`. The reference :math:`r` is black, the image's mean grey, or
    the grey of each pixel.

    Args:
        images: ``[B, 3, H, W]``, or one image ``[3, H, W]``.
        generator: Source of all draws, made on its device.
        brightness: Largest change of the factor; 0 is off.
        contrast: As for ``brightness``.
        saturation: As for ``brightness``.

    Returns:
        New images ``[B, 3, H, W]`` or ``[3, H, W]``, of the same type, in the same range.

    Raises:
        DataError: A negative option, or images without three channels.

    Example:
        >>> import torch
        >>> generator = torch.Generator().manual_seed(0)
        >>> from mgic_geo.transforms.images import color_jitter
        >>> images = torch.full((4, 3, 8, 8), 0.5)
        >>> changed = color_jitter(images, generator, brightness=0.4)
        >>> bool(((changed >= 0.3) & (changed <= 0.7)).all())  # factors from 0.6 to 1.4
        True
    """
    batch = as_batch(images)
    if min(brightness, contrast, saturation) < 0.0:
        raise DataError(
            "brightness, contrast and saturation must be at least 0, got "
            f"{brightness}, {contrast}, {saturation}"
        )
    if batch.size(1) != 3:
        raise DataError(f"images must have 3 channels, got {batch.size(1)}")
    draws = torch.rand(3, batch.size(0), generator=generator, device=generator.device)
    white = 255.0 if batch.dtype == torch.uint8 else 1.0
    out = batch.float() if batch.dtype == torch.uint8 else batch.clone()
    options = (brightness, contrast, saturation)
    for name, option, draw in zip(("brightness", "contrast", "saturation"), options, draws):
        if option == 0.0:
            continue
        low = max(0.0, 1.0 - option)
        factor = (low + (1.0 + option - low) * draw).to(out).view(-1, 1, 1, 1)
        if name == "brightness":
            out.mul_(factor)
        else:
            grey = sum(weight * out[:, i] for i, weight in enumerate(_LUMA))[:, None]  # type: ignore[index]
            if name == "contrast":
                grey = grey.mean(dim=(2, 3), keepdim=True)
            out.mul_(factor).add_((1.0 - factor) * grey)
        out.clamp_(0.0, white)
    if batch.dtype == torch.uint8:
        out = out.round_().to(torch.uint8)
    return out.view(images.shape)
