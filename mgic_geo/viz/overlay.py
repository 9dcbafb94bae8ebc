"""Pictures of segmented images."""

from __future__ import annotations

import colorsys
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgic_geo._optional import require
from mgic_geo.errors import DataError
from mgic_geo.io import atomic_write

# Each as far as can be from those before it (CIELAB), neither very dark nor pale; then by hue.
_COLORS = (
    "3377bb 00ff00 ff0000 0000ff 666600 ff00aa 00ffdd ffaaaa eeee00 8844cc ff9900 882211 "
    "007766 22aa33 ddee99 883366 eeaaff 66ddff ee00ff ee0055 ff7755 ddaa66 99ee33 0077ff"
)
_GOLDEN = 0.618033988749895  # successive hues stay apart, however many there are
_LINE, _MARGIN = 18, 6  # pixels


def class_colors(num_classes: int) -> npt.NDArray[np.uint8]:
    """Distinct colours of classes; a class keeps its colour whatever their number.

    Args:
        num_classes: Number of classes :math:`C`.

    Returns:
        Red, green and blue, uint8 ``[C, 3]``.

    Example:
        >>> from mgic_geo.viz import class_colors
        >>> class_colors(3).tolist()
        [[51, 119, 187], [0, 255, 0], [255, 0, 0]]
    """
    colors = [tuple(bytes.fromhex(code)) for code in _COLORS.split()]
    for i in range(len(colors), num_classes):
        color = colorsys.hsv_to_rgb(i * _GOLDEN % 1.0, (0.85, 0.55)[i // 2 % 2], (0.95, 0.7)[i % 2])
        colors.append(tuple(round(255.0 * c) for c in color))
    return np.array(colors[:num_classes], dtype=np.uint8).reshape(-1, 3)


def draw_overlay(
    image: npt.ArrayLike,
    mask: npt.ArrayLike,
    classes: Sequence[str],
    path: str | os.PathLike[str],
    opacity: float = 0.55,
) -> Path:
    """Writes an image under the colours of its pixels' classes, with a legend below.

    Args:
        image: Colours, uint8 ``[3, H, W]``, array or CPU tensor.
        mask: Class of each pixel, ``[H, W]``; a number that is of no class stays as it is.
        classes: Class names.
        path: The picture to write, PNG.
        opacity: Of the colours, from 0 to 1.

    Returns:
        The path of the picture.

    Raises:
        DataError: Image and mask do not fit, or the path does not end in ``.png``.
        ImportError: Pillow (extra ``images``) is missing.

    Example:
        >>> import numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.viz import draw_overlay
        >>> image, mask = np.zeros((3, 24, 32), np.uint8), np.zeros((24, 32), np.uint8)
        >>> mask[:, 16:] = 1
        >>> with TemporaryDirectory() as folder:
        ...     draw_overlay(image, mask, ["road", "sky"], f"{folder}/street.png").name
        'street.png'
    """
    pixels, label = np.asarray(image), np.asarray(mask).astype(np.int64)
    if pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.shape[1:] != label.shape:
        raise DataError(f"image {list(pixels.shape)} and mask {list(label.shape)} do not fit")
    if Path(path).suffix.lower() != ".png":
        raise DataError(f"{path}: overlays are written as .png")
    colors = class_colors(len(classes))
    pixels = np.moveaxis(pixels, 0, -1).astype(np.float64)
    known = (label >= 0) & (label < len(classes))
    pixels[known] = (1.0 - opacity) * pixels[known] + opacity * colors[label[known]]
    picture = require("PIL.Image", "images").fromarray(np.round(pixels).astype(np.uint8))
    counts = np.bincount(label[known], minlength=len(classes))
    order = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    entries = [(f"{classes[i]} {100.0 * counts[i] / label.size:.1f} %", colors[i]) for i in order]
    data = io.BytesIO()
    _with_legend(picture, entries).save(data, "PNG")
    with atomic_write(path) as file:
        file.write(data.getvalue())
    return Path(path)


def _with_legend(picture: Any, entries: Sequence[tuple[str, npt.NDArray[np.uint8]]]) -> Any:
    """The picture on a white sheet, above the entries, as many in a line as there is room for."""
    drawing = require("PIL.ImageDraw", "images")
    measure = drawing.Draw(picture)
    places, x, y = [], _MARGIN, picture.height + _MARGIN
    for text, _ in entries:
        width = _LINE + int(measure.textlength(text)) + 2 * _MARGIN
        if x > _MARGIN and x + width > picture.width:
            x, y = _MARGIN, y + _LINE
        places.append((x, y))
        x += width
    sheet = require("PIL.Image", "images").new("RGB", (picture.width, y + _LINE), "white")
    sheet.paste(picture, (0, 0))
    draw = drawing.Draw(sheet)
    for (x, y), (text, color) in zip(places, entries):
        draw.rectangle((x, y, x + 11, y + 11), fill=tuple(color.tolist()))
        draw.text((x + _LINE, y), text, fill="black")
    return sheet
