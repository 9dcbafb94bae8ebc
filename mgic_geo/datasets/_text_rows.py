"""Rows of numbers in the text files of published data sets."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mgic_geo.errors import DataError


def read_rows(path: Path, form: str) -> NDArray[np.float64]:
    """Reads lines that all have one form.

    Args:
        path: The file.
        form: Names of the columns with blanks between, such as ``x y z label``.

    Returns:
        ``[N, columns]``, all finite.

    Raises:
        DataError: A line has another form; the file and the line are named.
    """
    columns = len(form.split())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file; it is said below
            rows = np.loadtxt(path, dtype=np.float64, comments=None, ndmin=2, encoding="latin-1")
    except ValueError as error:
        raise _bad_line(path, form, columns) or DataError(f"{path}: {error}") from None
    if not rows.size:
        raise DataError(f"{path}: holds no points; lines of {form!r} are needed")
    if rows.shape[1] != columns or not np.isfinite(rows).all():
        raise _bad_line(path, form, columns) or DataError(f"{path}: its lines are not {form!r}")
    return rows


def _bad_line(path: Path, form: str, columns: int) -> DataError | None:
    """A second pass, for its number."""
    with path.open(encoding="latin-1") as file:
        for number, line in enumerate(file, 1):
            tokens = line.split()
            if tokens and not (len(tokens) == columns and all(map(_is_finite, tokens))):
                shown = ascii(" ".join(tokens)[:60])
                return DataError(f"{path}: line {number} is not {form!r} but {shown}")
    return None


def line_of(path: Path, row: int) -> int:
    """The number of the line, from 1, that a row of :func:`read_rows`, from 0, stands in."""
    with path.open(encoding="latin-1") as file:
        lines = (number for number, line in enumerate(file, 1) if line.split())
        return next(number for place, number in enumerate(lines) if place == row)


def _is_finite(token: str) -> bool:
    try:
        return bool(np.isfinite(float(token)))
    except ValueError:
        return False
