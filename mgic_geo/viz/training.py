"""Pictures of a training run: who is taken for whom, and how it got there."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgic_geo.errors import DataError

from ._figure import COLOURS, INK, PALE, new_figure, save_figure, tidy

_COLUMNS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
_MEAN_CLASS = "val_mean_class_accuracy"
# Figures that further tasks have, and what they are called; see `mgic_geo.training.Scores`.
_MEAN_IOU, _TOP5 = "val_mean_iou", "val_top5_accuracy"
_MORE = {
    _TOP5: "validation, top-5",
    _MEAN_IOU: "validation, mean IoU",
    _MEAN_CLASS: "validation, mean over classes",
}
_LONGEST = 100_000  # a count that fits into its cell is smaller


def plot_confusion(
    matrix: npt.ArrayLike,
    classes: Sequence[str],
    path: str | os.PathLike[str],
    unit: str = "shapes",
) -> Path:
    """Draws a confusion matrix: counts as numbers, shares of the true class as colour.

    Where counts would be too long for their cells the numbers are shares, in percent.

    Args:
        matrix: Counts ``[C, C]``, array or CPU tensor; rows are true classes, columns predicted.
        classes: The ``C`` class names.
        path: The picture to write, ``.png``, ``.svg`` or ``.pdf``.
        unit: What is counted.

    Returns:
        The path of the picture.

    Raises:
        DataError: The matrix is not ``[C, C]``.
        ImportError: Matplotlib (extra ``viz``) is missing.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.viz import plot_confusion
        >>> with TemporaryDirectory() as folder:
        ...     plot_confusion([[8, 2], [1, 9]], ["chair", "sofa"], f"{folder}/confusion.png").name
        'confusion.png'
    """
    counts = np.asarray(matrix)
    size = len(classes)
    if counts.shape != (size, size) or size == 0:
        raise DataError(f"a confusion matrix of {size} classes cannot have shape {counts.shape}")
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = new_figure(1.9 + 0.47 * size, 1.6 + 0.44 * size)
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    short = counts.max() < _LONGEST
    for row, column in np.argwhere(counts > 0 if short else share >= 0.005):
        colour = "white" if share[row, column] > 0.55 else INK
        text = f"{counts[row, column]:g}" if short else f"{100.0 * share[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    names = [name.replace("_", " ") for name in classes]
    axes.set_xticks(range(size), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), names)
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("true", color=INK)
    tidy(axes, grid=False)
    for side in axes.spines.values():
        side.set_visible(False)
    # White lines between the cells.
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    total = counts.sum()
    right = 100.0 * np.trace(counts) / max(total, 1)
    per_class = share.diagonal()[counts.sum(axis=1) > 0]
    mean = 100.0 * per_class.mean() if len(per_class) else 0.0
    title = f"accuracy {right:.1f} %, mean over classes {mean:.1f} % ({total:,.0f} {unit})"
    title += "" if short else "; cells in %"
    axes.set_title(title, fontsize=10, color=INK, pad=10)
    figure.set_layout_engine("tight")
    return save_figure(figure, path)


def plot_curves(metrics: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    r"""Draws loss and accuracy over the epochs of a run, and marks its best epoch.

    Args:
        metrics: CSV with the columns ``epoch``, ``train_loss``, ``train_accuracy``, ``val_loss``,
            ``val_accuracy``, and ``val_mean_class_accuracy``, ``val_top5_accuracy`` and
            ``val_mean_iou`` if there; all but losses from 0 to 1. An empty cell is a value that was
            not measured.
        path: The picture to write, ``.png``, ``.svg`` or ``.pdf``.

    Returns:
        The path of the picture.

    Raises:
        DataError: The file has no rows, lacks columns, or has text where numbers belong.
        ImportError: Matplotlib (extra ``viz``) is missing.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.viz import plot_curves
        >>> with TemporaryDirectory() as folder:  # a run folder has such a metrics.csv
        ...     metrics = Path(folder) / "metrics.csv"
        ...     _ = metrics.write_text(
        ...         "epoch,train_loss,train_accuracy,val_loss,val_accuracy\n"
        ...         "1,1.5,0.5,1.6,0.4\n2,0.9,0.8,1.1,0.7\n"
        ...     )
        ...     plot_curves(metrics, f"{folder}/curves.png").name
        'curves.png'
    """
    values = _read(metrics)
    epoch = values["epoch"]
    figure = new_figure(8.4, 3.1)
    loss, accuracy = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    # what chose the epoch: of pixels the mean IoU, of images (with top-5) the accuracy
    chosen = "val_accuracy" if _TOP5 in values or _MEAN_CLASS not in values else _MEAN_CLASS
    chosen = _MEAN_IOU if _MEAN_IOU in values else chosen
    curves = [
        (loss, "train_loss", "training", 1.0),
        (loss, "val_loss", "validation", 1.0),
        (accuracy, "train_accuracy", "training", 100.0),
        (accuracy, "val_accuracy", "validation", 100.0),
        *((accuracy, key, label, 100.0) for key, label in _MORE.items()),
    ]
    more = dict(zip((key for key in _MORE if key in values), (COLOURS[2], PALE)))
    shades = (*COLOURS[:2], *COLOURS[:2], *(more.get(key, PALE) for key in _MORE))
    marker = "o" if len(epoch) == 1 else None  # a line through one point is invisible
    for (axes, key, label, factor), colour in zip(curves, shades):
        if key in values and not np.isnan(values[key]).all():
            known = ~np.isnan(values[key])
            curve = factor * values[key][known]
            axes.plot(epoch[known], curve, label=label, color=colour, lw=1.6, marker=marker)
    if not np.isnan(values[chosen]).all():
        best = int(np.nanargmax(values[chosen]))
        height = 100.0 * values[chosen][best]
        accuracy.plot(epoch[best], height, "o", color=INK, ms=4.5, zorder=5)
        accuracy.axvline(epoch[best], color=PALE, lw=0.8, ls=":")
        loss.axvline(epoch[best], color=PALE, lw=0.8, ls=":")
        accuracy.set_title(f"best {height:.1f} % in epoch {epoch[best]:g}", fontsize=10, color=INK)
    loss.set_ylabel("loss", color=INK)
    accuracy.set_ylabel("accuracy (%)", color=INK)
    for axes in (loss, accuracy):
        axes.set_xlabel("epoch", color=INK)
        axes.xaxis.get_major_locator().set_params(integer=True)
        tidy(axes)
        if axes.lines:
            axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    figure.set_layout_engine("tight")
    return save_figure(figure, path)


def _read(metrics: str | os.PathLike[str]) -> dict[str, npt.NDArray[np.float64]]:
    with Path(metrics).open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        found = tuple(reader.fieldnames or ())
    missing = [name for name in _COLUMNS if name not in found]
    if missing:
        raise DataError(f"{metrics}: the columns {', '.join(missing)} are missing")
    if not rows:
        raise DataError(f"{metrics}: no epoch yet, nothing to draw")
    names = [*_COLUMNS, *(name for name in _MORE if name in found)]
    try:
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}
    except ValueError as error:
        raise DataError(f"{metrics}: a cell is not a number ({error})") from None
