"""Random rectangles of one colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mgic_geo.errors import DataError

from ._checks import as_batch


def random_erase(
    images: Tensor,
    generator: torch.Generator,
    p: float = 0.5,
    *,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: float = 3.0,
    fill: Sequence[float] | None = None,
) -> Tensor:
    """Covers a rectangle of each image, of random size and place, with probability ``p``.

    `"Random Erasing Data Augmentation" <https://arxiv.org/abs/1708.04896>`_, with one colour
    instead of noise. ``area=(a, a), aspect=1`` is the cutout of `"Improved Regularization of
    Convolutional Neural Networks with Cutout" <https://arxiv.org/abs/1708.04552>`_, wholly inside
    the image.

    Args:
        images: ``[B, C, H, W]``, or one image ``[C, H, W]``.
        generator: Source of all draws, made on its device.
        p: Probability, in [0, 1].
        area: Smallest and largest share of the image that is covered.
        aspect: Largest ratio of the two sides, at least 1; a side is never longer than the image's.
        fill: Colour, one value for each channel of pixels in [0, 1]; black by default.

    Returns:
        New images ``[B, C, H, W]`` or ``[C, H, W]``, of the same type.

    Raises:
        DataError: A number out of range, or shapes that do not fit.

    Example:
        >>> import torch
        >>> generator = torch.Generator().manual_seed(0)
        >>> from mgic_geo.transforms.images import random_erase
        >>> images = torch.ones(1, 3, 8, 8)
        >>> cutout = random_erase(images, generator, p=1.0, area=(0.25, 0.25), aspect=1.0)
        >>> int((cutout[0, 0] == 0.0).sum())  # 4 x 4 of 8 x 8 pixels
        16
    """
    batch = as_batch(images)
    count, channels, height, width = batch.shape
    if not 0.0 <= p <= 1.0:
        raise DataError(f"p must be between 0 and 1, got {p}")
    if not 0.0 < area[0] <= area[1] <= 1.0:
        raise DataError(f"area must be 0 < smallest <= largest <= 1, got {area}")
    if aspect < 1.0:
        raise DataError(f"aspect must be at least 1, got {aspect}")
    colour = (0.0,) * channels if fill is None else tuple(fill)
    if len(colour) != channels:
        raise DataError(f"fill must have a value for each of {channels} channels, got {colour}")
    draw = torch.rand(5, count, generator=generator, device=generator.device).to(batch.device)
    share = area[0] + (area[1] - area[0]) * draw[1]
    ratio = torch.exp((2.0 * draw[2] - 1.0) * math.log(aspect))
    sides = (share * height * width * torch.stack([ratio, 1.0 / ratio])).sqrt()
    covered = (draw[0] < p)[:, None, None]
    for length, side, place, axis in (
        (height, sides[0], draw[3], 1),
        (width, sides[1], draw[4], 2),
    ):
        side = side.round().clamp(1, length)
        start = (place * (length - side + 1)).floor()[:, None]
        pixel = torch.arange(length, device=batch.device)
        covered = covered & ((pixel >= start) & (pixel < start + side[:, None])).unsqueeze(3 - axis)
    white = 255.0 if batch.dtype == torch.uint8 else 1.0
    paint = torch.tensor([white * value for value in colour], device=batch.device)
    paint = (paint.round() if batch.dtype == torch.uint8 else paint).to(batch.dtype)
    return torch.where(covered[:, None], paint[:, None, None], batch).view(images.shape)
