"""How far to believe a probability, as a picture."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mgic_geo.errors import DataError

from ._figure import COLOURS, INK, PALE, new_figure, save_figure, tidy

if TYPE_CHECKING:
    from mgic_geo.training import Calibration


def plot_reliability(calibrations: Mapping[str, Calibration], path: str | os.PathLike[str]) -> Path:
    """Draws accuracy against confidence, a panel for each of some calibrations.

    Bars are the share of right predictions in each bin of confidence, as strong as the bin is full;
    a line marks the mean confidence of the bin. Where a bar ends at its line, probabilities mean
    what they say. Bars above their lines: the classifier is better than it says.

    Args:
        calibrations: By the titles of their panels, such as ``"before"`` and ``"after"``.
        path: The picture to write, ``.png``, ``.svg`` or ``.pdf``.

    Returns:
        The path of the picture.

    Raises:
        DataError: There is nothing to draw.
        ImportError: Matplotlib (extra ``viz``) is missing.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import torch
        >>> from mgic_geo.training import Calibration
        >>> from mgic_geo.viz import plot_reliability
        >>> logits = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
        >>> found = {"as trained": Calibration.of(logits, torch.tensor([0, 1, 1]))}
        >>> with TemporaryDirectory() as folder:
        ...     plot_reliability(found, f"{folder}/reliability.png").name
        'reliability.png'
    """
    if not calibrations:
        raise DataError("no calibration to draw")
    figure = new_figure(3.6 * len(calibrations) + 0.4, 3.7)
    for place, (title, found) in enumerate(calibrations.items(), 1):
        axes = figure.add_subplot(1, len(calibrations), place)
        bins = len(found.count)
        edges = np.linspace(0.0, 1.0, bins + 1)
        full = np.array(found.count) / max(sum(found.count), 1)
        for i in np.flatnonzero(full):
            strength = 0.25 + 0.75 * float(np.sqrt(full[i]))
            axes.bar(
                edges[i], found.accuracy[i], 1.0 / bins, align="edge",
                color=COLOURS[0], alpha=strength, edgecolor="white", linewidth=0.8,
            )  # fmt: skip
            axes.hlines(found.confidence[i], edges[i], edges[i + 1], color=COLOURS[1], lw=2.0)
            axes.text(
                edges[i] + 0.5 / bins, 0.015, found.count[i],
                ha="center", va="bottom", fontsize=6, color=INK, rotation=90,
            )  # fmt: skip
        axes.plot([0.0, 1.0], [0.0, 1.0], color=PALE, lw=0.8, ls=":")
        axes.set(xlim=(0.0, 1.0), ylim=(0.0, 1.02), xlabel="confidence")
        if place == 1:
            axes.set_ylabel("share of right predictions")
        axes.set_title(
            f"{title}: temperature {found.temperature:.3g}, error {100.0 * found.error:.1f} %",
            fontsize=10, color=INK,
        )  # fmt: skip
        tidy(axes)
    figure.set_layout_engine("tight")
    return save_figure(figure, path)
