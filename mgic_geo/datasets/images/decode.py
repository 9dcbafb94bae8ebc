"""Encoded images to tensors, by Pillow."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgic_geo._optional import require
from mgic_geo.errors import DataError

_TRANSPOSED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
_ORIENTATION = 0x0112


class UndecodableError(DataError):
    """Bytes that are no image, or a damaged one."""


def read_image(file: str | os.PathLike[str]) -> Tensor:
    """Reads an image file, see :func:`decode_image`.

    Args:
        file: JPEG, PNG, WebP or another format that Pillow reads.

    Returns:
        uint8 ``[3, H, W]``.

    Raises:
        DataError: It cannot be read or decoded; the message names it.
        ImportError: Pillow is missing.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets.images import read_image
        >>> from mgic_geo.testing import write_tiny_image_tree
        >>> with TemporaryDirectory() as folder:
        ...     tree = write_tiny_image_tree(folder, ["red"], images=1)
        ...     image = read_image(tree / "red" / "red_0001.png")
        >>> image.shape, image.dtype
        (torch.Size([3, 16, 16]), torch.uint8)
    """
    try:
        with open(file, "rb") as opened:
            data = opened.read()
    except OSError as error:
        raise DataError(f"{os.fspath(file)}: {error.strerror or error}") from error
    return decode_image(data, os.fspath(file))


def decode_image(data: bytes, name: str = "image") -> Tensor:
    """Decodes JPEG, PNG, WebP, ... into RGB, upright (EXIF orientation applied).

    Grey, palette, CMYK and 16-bit images become 8-bit RGB; transparency is dropped.

    Args:
        data: The bytes of the file.
        name: What an error message calls it.

    Returns:
        uint8 ``[3, H, W]``.

    Raises:
        DataError: It does not decode.
        ImportError: Pillow is missing.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> from mgic_geo.datasets.images import decode_image
        >>> file = io.BytesIO()
        >>> Image.new("L", (4, 2), color=7).save(file, "PNG")
        >>> image = decode_image(file.getvalue())
        >>> image.shape, image.unique().tolist()  # grey becomes RGB
        (torch.Size([3, 2, 4]), [7])
    """
    return torch.from_numpy(_decoded(data, name, _as_rgb)).permute(2, 0, 1).contiguous()


def decode_mask(data: bytes, name: str = "mask") -> np.ndarray:
    """Decodes an image of class ids: grey or palette indices, uint8 ``[H, W]``.

    Raises:
        DataError: It does not decode (:class:`UndecodableError`), or holds colours or ids over 255.
    """
    ids = _decoded(data, name, _as_ids)
    if ids.ndim != 2:
        raise DataError(f"{name}: a colour image; class ids belong into one channel, as a grey PNG")
    if ids.dtype != np.uint8:
        if ids.size and (ids.max() > 255 or ids.min() < 0):
            raise DataError(f"{name}: holds the id {ids.max()}; ids are 0 to 255")
        ids = ids.astype(np.uint8)
    return ids


def probe_image(data: bytes, name: str = "image") -> tuple[int, int]:
    """Height and width of an image that decodes, at a fraction of the cost for JPEG.

    Raises:
        DataError: It does not decode.
    """
    size: tuple[int, int] = _decoded(data, name, _probe)
    return size


def _decoded(data: bytes, name: str, use: Any) -> Any:
    image_module = require("PIL.Image", "images")
    try:
        with image_module.open(io.BytesIO(data)) as image:
            return use(image)
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # readers of damaged files raise whatever their parsing runs into
        reason = str(error).replace("<_io.BytesIO object at ", "<").splitlines()
        text = "not an image that Pillow reads" if _unknown(error) else (reason or ["damaged"])[0]
        raise UndecodableError(f"{name}: does not decode ({text})") from error


def _unknown(error: Exception) -> bool:
    return type(error).__name__ == "UnidentifiedImageError"


def _as_rgb(image: Any) -> np.ndarray:
    image = require("PIL.ImageOps", "images").exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        return np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # a palette may hold transparent colours
    return np.array(image.convert("RGB"))


def _as_ids(image: Any) -> np.ndarray:
    if image.mode == "1":
        return np.array(image).astype(np.uint8)
    return np.array(image)


def _probe(image: Any) -> tuple[int, int]:
    width, height = image.size
    turned = image.getexif().get(_ORIENTATION, 1) in _TRANSPOSED
    image.draft("RGB", (1, 1))  # JPEG: all coefficients are read, few pixels computed
    image.load()
    return (width, height) if turned else (height, width)
