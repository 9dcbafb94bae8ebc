"""Clouds as lines of numbers: TXT, CSV, PTS, XYZ."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mgic_geo.errors import DataError
from mgic_geo.io.cloud import PointCloud, cloud_of_fields, unit_colors

_EMPTY = re.compile(r"(?:^|(?<=[,;]))[ \t]*(?=[,;])", re.MULTILINE)
_LOOKED_AT = 20  # lines
_COMMENT = re.compile(r"#|//")


def parse_text(data: bytes, path: str | os.PathLike[str]) -> PointCloud:
    """The cloud of lines ``x y z ...``; not yet checked.

    Numbers are separated by commas, semicolons, tabs or blanks; beside semicolons, commas are
    decimal points. The first line may name the columns, also as a comment, or hold the number of
    points. ``#`` and ``//`` begin comments. Without names, three columns behind the third are
    normals if all have length 1, and four are intensity and colour, as in PTS.

    Raises:
        DataError: A line is no point; its number is named.
    """
    text = data.decode("utf-8-sig", "replace").replace("\x00", "?")
    text = _EMPTY.sub("nan", text)
    raw = text.splitlines()
    semicolons = any(";" in _COMMENT.split(line, maxsplit=1)[0] for line in raw[:3])
    lines = [_tokens(line, semicolons) for line in raw]
    numbered = [(i, line) for i, line in enumerate(lines, 1) if line]
    names: list[str] = next(
        (_tokens(line.lstrip("#/ "), semicolons) for line in raw[:1] if _COMMENT.match(line)), []
    )
    if numbered and not _is_number(numbered[0][1][0]) and len(numbered[0][1]) >= 3:
        names = numbered.pop(0)[1]
    announced = None
    if len(numbered) > 1 and len(numbered[0][1]) == 1 and numbered[0][1][0].isdigit():
        announced = int(numbered.pop(0)[1][0])
    if not numbered:
        raise DataError(f"{path}: an empty cloud; at least one line 'x y z' is needed")
    if announced is not None and announced > len(numbered):
        raise DataError(
            f"{path}: it is truncated: {announced} points are announced, {len(numbered)} follow"
        )
    width = min(len(line) for _, line in numbered)
    lower = [name.lower() for name in names[:width]]
    if {"x", "y", "z"} <= set(lower):
        table = _table(numbered, width, path)
        return cloud_of_fields(lower, lambda name: table[:, lower.index(name)], path)
    table = _table(numbered, width if width in (6, 7) else 3, path)
    return PointCloud(table[:, :3], _normals(table), _colors(table), _intensity(table))


def looks_like_points(head: bytes) -> bool:
    """Whether a text that begins like this holds points rather than words."""
    lines = head.decode("utf-8-sig", "replace").splitlines()[:_LOOKED_AT]
    rows = [_tokens(line, ";" in line) for line in lines]
    return any(len(row) >= 3 and all(map(_is_number, row[:3])) for row in rows)


def _tokens(line: str, semicolons: bool) -> list[str]:
    line = _COMMENT.split(line, maxsplit=1)[0]
    if semicolons:
        return line.replace(",", ".").replace(";", " ").split()
    return line.replace(",", " ").split()


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True


def _table(
    numbered: Sequence[tuple[int, list[str]]], width: int, path: str | os.PathLike[str]
) -> NDArray[np.float64]:
    try:
        return np.array([line[:width] for _, line in numbered], dtype=np.float64).reshape(-1, width)
    except ValueError:  # worth a second pass: which line is it?
        for i, line in numbered:
            if len(line) < 3 or not all(map(_is_number, line[:3])):
                shown = " ".join(line)[:40]
                raise DataError(f"{path}: line {i} is not 'x y z' but {shown!r}") from None
        if width == 3:
            raise
        return _table(numbered, 3, path)  # text behind the coordinates


def _normals(table: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if table.shape[1] != 6:
        return None
    normals = table[:, 3:]
    with np.errstate(over="ignore", invalid="ignore"):
        unit = np.abs(np.linalg.norm(normals, axis=1) - 1.0) < 1e-2
    return normals if unit.all() else None


def _intensity(table: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The fourth column of PTS, where scanners write from -2048 to 2047 or from 0 on."""
    if table.shape[1] != 7:
        return None
    values = table[:, 3:4]
    lowest = float(np.nan_to_num(values).min())
    return unit_colors(values - min(lowest, 0.0))


def _colors(table: NDArray[np.float64]) -> NDArray[np.float64] | None:
    if table.shape[1] != 7:
        return None
    colors = table[:, 4:]
    return unit_colors(colors) if ((colors >= 0) & (colors <= 255)).all() else None
