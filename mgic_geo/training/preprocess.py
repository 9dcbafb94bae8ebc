"""From a decoded image to what a network takes, the same in training, evaluation and prediction."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from mgic_geo.models import WeightsInfo
from mgic_geo.transforms.images import normalize, resize_center_crop


@dataclass(frozen=True)
class Preprocess:
    """Size and normalisation, as weights files store them.

    Args:
        size: Classification: side of the square that is cut out of the middle of the resized image,
            None for the whole image. Segmentation: shorter side of the whole image.
        mean: Mean colour, in [0, 1].
        std: Its standard deviation.

    Example:
        >>> import torch
        >>> from mgic_geo.training import Preprocess
        >>> preprocess = Preprocess(32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        >>> image = preprocess.crop(torch.full((3, 40, 60), 255, dtype=torch.uint8))
        >>> image.shape, float(preprocess.normalize(image[None]).max())
        (torch.Size([3, 32, 32]), 2.0)
    """

    size: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, info: WeightsInfo) -> Preprocess:
        """What the weights were trained with."""
        return cls(info.image_size, info.mean, info.std)

    def crop(self, image: Tensor) -> Tensor:
        """The square that is classified, uint8 ``[3, size, size]`` of ``[3, H, W]``."""
        if self.size is None or image.shape[1:] == (self.size, self.size):
            return image
        return resize_center_crop(image, self.size)

    def normalize(self, images: Tensor) -> Tensor:
        """Float images ``[..., 3, H, W]`` for the network, of uint8."""
        return normalize(images, self.mean, self.std)

    def whole(self, image: Tensor) -> Tensor:
        """The whole image for segmentation, float ``[1, 3, h, w]`` of uint8 ``[3, H, W]``."""
        batch = self.normalize(image[None])
        if self.size is None or min(image.shape[1:]) == self.size:
            return batch
        factor = self.size / min(image.shape[1:])
        size = [round(side * factor) for side in image.shape[1:]]
        return F.interpolate(batch, size, mode="bilinear", antialias=True, align_corners=False)
