"""One image to a given size: at random for training, in the middle for evaluation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mgic_geo.errors import DataError

from ._checks import check_image, pair
from ._interpolate import resize_image

_ATTEMPTS = 10


def random_resized_crop(
    image: Tensor,
    size: int | tuple[int, int],
    generator: torch.Generator,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Cuts out a random rectangle and resizes it.

    The rectangle's share of the area is uniform, its width over its height log-uniform. Where ten
    draws do not fit into the image, the largest rectangle in the middle is taken whose ratio is in
    range. Source: `"Going Deeper with Convolutions" <https://arxiv.org/abs/1409.4842>`_.

    Args:
        image: ``[C, H, W]``.
        size: Height and width of the result, or both.
        generator: Source of all draws, a CPU generator.
        scale: Smallest and largest share of the area, in (0, 1].
        ratio: Smallest and largest width over height.

    Returns:
        ``[C, size, size]``, of the same type and range.

    Raises:
        DataError: A range or shape that makes no sense.

    Example:
        >>> import torch
        >>> generator = torch.Generator().manual_seed(0)
        >>> from mgic_geo.transforms.images import random_resized_crop
        >>> random_resized_crop(torch.rand(3, 40, 60), size=32, generator=generator).shape
        torch.Size([3, 32, 32])
    """
    check_image(image)
    out = pair(size, "size")
    if not 0.0 < scale[0] <= scale[1] <= 1.0:
        raise DataError(f"scale must be 0 < low <= high <= 1, got {scale}")
    if not 0.0 < ratio[0] <= ratio[1]:
        raise DataError(f"ratio must be 0 < low <= high, got {ratio}")
    height, width = _rectangle(image.size(1), image.size(2), scale, ratio, generator)
    spare = torch.rand(2, generator=generator, dtype=torch.float64)
    if height < 0:
        height, width = -height, -width
        spare.fill_(0.5)
    top = int(spare[0] * (image.size(1) - height + 1))
    left = int(spare[1] * (image.size(2) - width + 1))
    return resize_image(image[:, top : top + height, left : left + width], *out)


def resize_center_crop(
    image: Tensor, size: int | tuple[int, int], resize: int | None = None
) -> Tensor:
    """Resizes the whole image by one factor and cuts out the middle: nothing is drawn.

    Args:
        image: ``[C, H, W]``.
        size: Height and width of the result, or both.
        resize: Length of the shorter side after resizing, at least ``size``; by default
            ``size / 0.875``, the usual 256 for 224. Give ``size`` to cut as little as possible.

    Returns:
        ``[C, size, size]``, of the same type and range.

    Raises:
        DataError: ``resize`` is smaller than ``size``, or something else than an image.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms.images import resize_center_crop
        >>> resize_center_crop(torch.rand(3, 40, 60), size=32).shape
        torch.Size([3, 32, 32])
    """
    check_image(image)
    height, width = pair(size, "size")
    # the factor by which what is cut out is covered, also where it is no square
    factor = max(height / image.size(1), width / image.size(2))
    if resize is None:
        factor /= 0.875
    elif resize < max(height, width):
        raise DataError(f"resize must be at least size, got {resize} for {size}")
    else:
        factor = max(factor, resize / min(image.shape[1:]))
    full_height = max(height, round(image.size(1) * factor))
    full_width = max(width, round(image.size(2) * factor))
    full = resize_image(image, full_height, full_width)
    top, left = (full_height - height) // 2, (full_width - width) // 2
    return full[:, top : top + height, left : left + width].contiguous()


def _rectangle(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> tuple[int, int]:
    """Height and width of a rectangle; both negative where it has to be in the middle."""
    draws = torch.rand(_ATTEMPTS, 2, generator=generator, dtype=torch.float64).tolist()
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for first, second in draws:
        area = height * width * (scale[0] + (scale[1] - scale[0]) * first)
        aspect = math.exp(low + (high - low) * second)
        rows, columns = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 1 <= rows <= height and 1 <= columns <= width:
            return rows, columns
    rows = min(height, max(1, round(width / ratio[0])))
    columns = min(width, max(1, round(height * ratio[1])))
    return -rows, -columns
