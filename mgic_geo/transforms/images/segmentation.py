"""Random scale and place for an image together with the classes of its pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mgic_geo.errors import DataError

from ._checks import check_image, pair
from ._interpolate import resize_image, resize_mask


def scale_jitter_crop(
    image: Tensor,
    mask: Tensor,
    crop: int | tuple[int, int],
    generator: torch.Generator,
    scales: tuple[float, float] = (0.5, 2.0),
    ignore_index: int = 255,
    fill: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Resizes image and mask by one random factor and cuts a rectangle out of both.

    The image is resized smoothly, the mask by its nearest pixels. Where the resized image is
    smaller than the crop, it lies at a random place in it; around it the image is ``fill`` and the
    mask ``ignore_index``.

    Args:
        image: ``[C, H, W]``.
        mask: Class of each pixel, ``[H, W]``, of any integer type that holds ``ignore_index``.
        crop: Height and width of the result, or both.
        generator: Source of all draws, a CPU generator.
        scales: Smallest and largest factor; uniform between them.
        ignore_index: Class of what no image covers.
        fill: Value of what no image covers, in the range of ``image``.

    Returns:
        Image ``[C, crop, crop]`` and mask ``[crop, crop]``, of the same types.

    Raises:
        DataError: Image and mask differ in size, or a range makes no sense.

    Example:
        >>> import torch
        >>> generator = torch.Generator().manual_seed(0)
        >>> from mgic_geo.transforms.images import scale_jitter_crop
        >>> image, mask = torch.rand(3, 40, 60), torch.zeros(40, 60, dtype=torch.uint8)
        >>> image, mask = scale_jitter_crop(image, mask, crop=32, generator=generator)
        >>> image.shape, mask.shape
        (torch.Size([3, 32, 32]), torch.Size([32, 32]))
    """
    check_image(image)
    height, width = pair(crop, "crop")
    if mask.shape != image.shape[1:]:
        raise DataError(f"mask {list(mask.shape)} does not fit image {list(image.shape)}")
    if not 0.0 < scales[0] <= scales[1]:
        raise DataError(f"scales must be 0 < low <= high, got {scales}")
    draws = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
    factor = scales[0] + (scales[1] - scales[0]) * draws[0]
    rows = _Axis(image.size(1), height, factor, draws[1], draws[2])
    columns = _Axis(image.size(2), width, factor, draws[3], draws[4])

    # only what will be seen is resized: a crop of a large image costs no more than itself
    image = resize_image(image[:, rows.source, columns.source], rows.size, columns.size)
    mask = resize_mask(mask[rows.source, columns.source], rows.size, columns.size)
    image, mask = image[:, rows.kept, columns.kept], mask[rows.kept, columns.kept]
    if mask.shape == (height, width):
        return image.contiguous(), mask.contiguous()
    canvas = image.new_full((image.size(0), height, width), fill)
    canvas[:, rows.place, columns.place] = image
    classes = mask.new_full((height, width), ignore_index)
    classes[rows.place, columns.place] = mask
    return canvas, classes


class _Axis:
    """Along one axis: the pixels to take, their number after resizing, those kept, their place."""

    def __init__(self, length: int, crop: int, factor: float, where: float, rest: float) -> None:
        taken = min(length, math.ceil(crop / factor))
        start = int(where * (length - taken + 1))
        self.source = slice(start, start + taken)
        self.size = max(1, round(taken * factor))
        kept = min(self.size, crop)
        first = int(rest * (self.size - kept + 1))
        self.kept = slice(first, first + kept)
        place = int(rest * (crop - kept + 1))
        self.place = slice(place, place + kept)
