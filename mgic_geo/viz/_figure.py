"""Figures without a window or global state, and their way to the disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mgic_geo._optional import require
from mgic_geo.errors import DataError
from mgic_geo.io import atomic_write

INK, PALE = "#22262b", "#8a929b"
COLOURS = ("#1f6fb4", "#e0722a", "#3c9a5f")


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches; not pyplot's, so that no backend is chosen for the user."""
    figure_module = require("matplotlib.figure", extra="viz")
    return figure_module.Figure(figsize=(width, height), facecolor="white")


def tidy(axes: Any, grid: bool = True) -> None:
    """Thin pale frame, labels in ink."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(PALE)
    axes.tick_params(colors=INK, length=3, width=0.6, labelsize=9)
    if grid:
        axes.grid(color=PALE, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)


def save_figure(figure: Any, path: str | os.PathLike[str], dpi: int = 160) -> Path:
    """Writes a picture, whole or not at all, in the format that its suffix says.

    Raises:
        DataError: The suffix is of no picture format.
    """
    target = Path(path)
    kind = target.suffix[1:].lower()
    known: Iterable[str] = figure.canvas.get_supported_filetypes()
    if kind not in known:
        raise DataError(f"{path}: pictures are written as .png, .svg or .pdf, not '.{kind}'")
    with atomic_write(target) as file:
        figure.savefig(file, format=kind, dpi=dpi)
    return target
