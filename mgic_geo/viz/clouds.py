"""Pictures of point clouds."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgic_geo.errors import DataError

from ._figure import INK, new_figure, save_figure


def plot_clouds(
    clouds: Sequence[npt.ArrayLike],
    labels: Sequence[str],
    path: str | os.PathLike[str],
    columns: int = 5,
    azimuth: float = -40.0,
    elevation: float = 25.0,
) -> Path:
    """Draws clouds side by side, each scaled to its cell, coloured by height, z up.

    Args:
        clouds: Point clouds, ``[n, 3]`` each, array or CPU tensor.
        labels: The line below each cloud; an empty text for none.
        path: The picture to write, ``.png``, ``.svg`` or ``.pdf``.
        columns: Clouds in a row.
        azimuth: Heading of the viewer in degrees, from the front (-y) towards +x.
        elevation: Height of the viewer in degrees above the ground.

    Returns:
        The path of the picture.

    Raises:
        DataError: No cloud, or one that is not ``[n, 3]``, or not as many labels.
        ImportError: Matplotlib (extra ``viz``) is missing.

    Example:
        >>> import numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.viz import plot_clouds
        >>> clouds = np.random.default_rng(0).random((2, 50, 3))
        >>> with TemporaryDirectory() as folder:
        ...     plot_clouds(clouds, ["first", "second"], f"{folder}/clouds.png").name
        'clouds.png'
    """
    arrays = [np.asarray(cloud, dtype=np.float64) for cloud in clouds]
    if not arrays or len(arrays) != len(labels):
        raise DataError(f"there are {len(arrays)} clouds and {len(labels)} labels to draw")
    for array in arrays:
        if array.ndim != 2 or array.shape[1] != 3 or not np.isfinite(array).all():
            raise DataError(f"a cloud must be finite and [n, 3], got shape {list(array.shape)}")
    columns = max(1, min(columns, len(arrays)))
    rows = math.ceil(len(arrays) / columns)
    figure = new_figure(1.7 * columns, 1.9 * rows)
    for number, (cloud, label) in enumerate(zip(arrays, labels)):
        axes = figure.add_subplot(rows, columns, number + 1)
        draw_cloud(axes, cloud, label, azimuth, elevation)
    figure.subplots_adjust(0.01, 0.06, 0.99, 0.99, wspace=0.04, hspace=0.2)
    return save_figure(figure, path)


def draw_cloud(
    axes: Any,
    cloud: npt.NDArray[np.float64],
    label: str = "",
    azimuth: float = -40.0,
    elevation: float = 25.0,
    colors: npt.ArrayLike | None = None,
) -> None:
    """Draws one cloud on Matplotlib axes, as :func:`plot_clouds` does.

    Args:
        axes: Where it is drawn.
        cloud: Points ``[n, 3]``, z up.
        label: The line below it.
        azimuth: Heading of the viewer in degrees, from the front (-y) towards +x.
        elevation: Height of the viewer in degrees above the ground.
        colors: Red, green and blue of each point, uint8 ``[n, 3]``; by default its height says.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> from mgic_geo.viz import draw_cloud
        >>> axes = Figure().add_subplot()
        >>> draw_cloud(axes, np.random.default_rng(0).random((50, 3)), "a cube")
        >>> [text.get_text() for text in axes.texts]
        ['a cube']
    """
    across, up, away = _project(cloud, azimuth, elevation).T
    order = np.argsort(-away)  # the nearest last, over the others
    height = cloud[order, 2]
    shades: dict[str, Any] = {
        "c": height,
        "cmap": "viridis",
        "vmin": height.min(),
        "vmax": height.min() + 1.15 * max(np.ptp(height), 1e-12),  # without the pale yellow end
    }
    if colors is not None:
        shades = {"c": np.asarray(colors)[order] / 255.0}
    # Bigger dots for thin clouds; nearer ones a little bigger, which reads as depth.
    near = (away.max() - away[order]) / max(np.ptp(away), 1e-12)
    axes.scatter(
        across[order],
        up[order],
        s=(1.0 + 1.5 * near) * 4500.0 / (len(cloud) + 250.0),
        edgecolors="white",  # a rim, so that what is in front covers what is behind
        linewidths=0.2,
        **shades,
    )
    reach = 1.05 * max(np.ptp(across), np.ptp(up), 1e-12) / 2
    axes.set_xlim((across.max() + across.min()) / 2 + np.array([-reach, reach]))
    axes.set_ylim((up.max() + up.min()) / 2 + np.array([-reach, reach]))
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.text(
        0.5,
        -0.02,
        label,
        transform=axes.transAxes,
        ha="center",
        va="top",
        fontsize=9,
        color=INK,
    )


def _project(cloud: npt.NDArray[np.float64], azimuth: float, elevation: float) -> npt.NDArray:
    """Orthographic view: to the right, upwards, and away from the viewer, ``[n, 3]``."""
    turn, tilt = np.radians(azimuth), np.radians(elevation)
    right = np.array([np.cos(turn), np.sin(turn), 0.0])
    ahead = np.array([-np.sin(turn), np.cos(turn), 0.0])
    level, up = ahead * np.cos(tilt), np.array([0.0, 0.0, np.cos(tilt)])
    view = np.stack([right, up + ahead * np.sin(tilt), level - np.array([0.0, 0.0, np.sin(tilt)])])
    return cloud @ view.T
