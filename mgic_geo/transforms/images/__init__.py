"""Augmentation of images in torch: uint8 ``[0, 255]`` or floating-point ``[0, 1]``, in and out.

Every draw comes from the generator that is passed. Functions on batches draw for each image by
itself; :class:`Augmented` gives each item of a data set a generator of its own, so that neither
the number of worker processes nor the order of loading changes what is drawn.
"""

from .augmented import Augmented, item_generator, seed_worker
from .color import color_jitter
from .crop import random_crop
from .erase import random_erase
from .flip import random_flip
from .normalize import normalize
from .resize import random_resized_crop, resize_center_crop
from .segmentation import scale_jitter_crop

__all__ = [
    "Augmented",
    "color_jitter",
    "item_generator",
    "normalize",
    "random_crop",
    "random_erase",
    "random_flip",
    "random_resized_crop",
    "resize_center_crop",
    "scale_jitter_crop",
    "seed_worker",
]
