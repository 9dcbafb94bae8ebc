"""Pictures of clouds in the colours of their points' classes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgic_geo._optional import require
from mgic_geo.errors import DataError

from ._figure import INK, new_figure, save_figure
from .clouds import draw_cloud
from .overlay import class_colors

_PALE = np.array([[190, 190, 190]], dtype=np.uint8)  # of a point without a class


def plot_point_labels(
    clouds: Sequence[npt.ArrayLike],
    labels: Sequence[npt.ArrayLike],
    classes: Sequence[str],
    path: str | os.PathLike[str],
    titles: Sequence[str] | None = None,
    columns: int = 5,
    azimuth: float = -40.0,
    elevation: float = 25.0,
) -> Path:
    """Draws clouds side by side in the colours of their points' classes, with a legend below.

    Args:
        clouds: Point clouds, ``[n, 3]`` each, array or CPU tensor, z up.
        labels: Class of each point, ``[n]`` each; -1 for none.
        classes: Names of the classes; the legend has those that occur.
        path: The picture to write, ``.png``, ``.svg`` or ``.pdf``.
        titles: The line below each cloud.
        columns: Clouds in a row.
        azimuth: Heading of the viewer in degrees, from the front (-y) towards +x.
        elevation: Height of the viewer in degrees above the ground.

    Returns:
        The path of the picture.

    Raises:
        DataError: Clouds, labels and titles do not fit each other.
        ImportError: Matplotlib (extra ``viz``) is missing.

    Example:
        >>> import numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.viz import plot_point_labels
        >>> clouds = np.random.default_rng(0).random((2, 50, 3))
        >>> labels = (clouds[..., 2] > 0.5).astype(int)
        >>> with TemporaryDirectory() as folder:
        ...     plot_point_labels(clouds, labels, ["leg", "top"], f"{folder}/parts.png").name
        'parts.png'
    """
    arrays = [np.asarray(cloud, dtype=np.float64) for cloud in clouds]
    numbers = [np.asarray(label) for label in labels]
    lines = [""] * len(arrays) if titles is None else list(titles)
    if not arrays or not len(arrays) == len(numbers) == len(lines):
        raise DataError(
            f"there are {len(arrays)} clouds, {len(numbers)} labels and {len(lines)} titles to draw"
        )
    for array, number in zip(arrays, numbers):
        if array.ndim != 2 or array.shape[1] != 3 or number.shape != array.shape[:1]:
            raise DataError(
                f"a cloud must be [n, 3] and its labels [n], got {list(array.shape)} and "
                f"{list(number.shape)}"
            )
    colors = np.concatenate([class_colors(len(classes)), _PALE])
    columns = max(1, min(columns, len(arrays)))
    rows = math.ceil(len(arrays) / columns)
    found = sorted({int(i) for number in numbers for i in np.unique(number) if i >= 0})
    width, in_a_row = 1.9 * columns, max(1, int(1.9 * columns / 1.2))
    below = 0.12 + 0.25 * math.ceil(len(found) / in_a_row)  # inches for the legend
    height = 2.1 * rows + below
    figure = new_figure(width, height)
    for place, (cloud, number, line) in enumerate(zip(arrays, numbers, lines), 1):
        axes = figure.add_subplot(rows, columns, place)
        draw_cloud(axes, cloud, line, azimuth, elevation, colors[number])
    patch: Any = require("matplotlib.patches", extra="viz").Patch
    handles = [patch(color=colors[i] / 255.0, label=classes[i].replace("_", " ")) for i in found]
    if handles:
        figure.legend(
            handles=handles,
            loc="lower center",
            ncols=min(in_a_row, len(handles)),
            frameon=False,
            fontsize=9,
            labelcolor=INK,
        )
    bottom = (below + 0.2) / height
    figure.subplots_adjust(0.01, bottom, 0.99, 0.99, wspace=0.04, hspace=0.15)
    return save_figure(figure, path)
