"""How images are brought to a network."""

from __future__ import annotations

from dataclasses import dataclass

from mgic_geo.errors import MgicGeoError

Range = tuple[float, float]
Colour = tuple[float, float, float]


@dataclass
class ImageConfig:
    """Sizes, normalisation and random changes of images; what is not given follows from the data.

    Images that lie in memory in the network's size (CIFAR) are padded and cropped, others are cut
    out at random scale and resized; in segmentation image and mask are resized by a random factor
    and cropped.

    Args:
        image_size: Classification: side of the network's input; by default the images' own if they
            lie in memory, else 224. Segmentation: shorter side that images are brought to, before
            any random change; by default they stay as they are. Masks are never resized to be
            compared with.
        crop_size: Side of the training crops in segmentation; by default the shorter side of the
            first image, at most 512.
        padding: Pixels around an image in memory before it is cropped; 0 switches it off.
        flip: Probability of mirroring left to right.
        erase: Classification: probability that a rectangle of 2 to 33 % of an image is covered by
            the mean colour.
        color: Largest relative change of brightness, contrast and saturation.
        scale: Smallest and largest share of the area that is cut out, by default 0.08 to 1; in
            segmentation the factor of the size, by default 0.5 to 2.
        mean: Mean colour, in [0, 1]; by default what the data set says, ImageNet's for most.
        std: Its standard deviation, likewise.

    Raises:
        MgicGeoError: A number is out of range.

    Example:
        >>> from mgic_geo.training import ImageConfig, TrainConfig
        >>> image = ImageConfig(image_size=64, flip=0.5, erase=0.25, color=0.2)
        >>> config = TrainConfig(data="photos", model="mgic_resnet56", image=image)
    """

    image_size: int | None = None
    crop_size: int | None = None
    padding: int = 4
    flip: float = 0.5
    erase: float = 0.0
    color: float = 0.0
    scale: Range | None = None
    mean: Colour | None = None
    std: Colour | None = None

    def __post_init__(self) -> None:
        for name in ("image_size", "crop_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise MgicGeoError(f"image.{name} = {value}: it must be at least 1")
        if self.padding < 0 or self.color < 0.0:
            name = "padding" if self.padding < 0 else "color"
            raise MgicGeoError(f"image.{name} = {getattr(self, name)}: it must not be negative")
        for name in ("flip", "erase"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise MgicGeoError(f"image.{name} = {getattr(self, name)}: it must be in [0, 1]")
        if self.scale is not None and not 0.0 < self.scale[0] <= self.scale[1]:
            raise MgicGeoError(f"image.scale = {self.scale}: it must be 0 < smallest <= largest")
        if (self.mean is None) != (self.std is None):
            raise MgicGeoError("image.mean and image.std: give both or neither")
        if self.std is not None and min(self.std) <= 0.0:
            raise MgicGeoError(f"image.std = {self.std}: it must be positive")
