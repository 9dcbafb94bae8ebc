"""Points of many clouds, small enough for a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .contents import ReportCloud

MOST, LEAST = 1024, 256
"""Points of a cloud that are shown: no more, and rather fewer clouds than fewer points."""
LEVELS = 4095
"""Steps along the longest side of a cloud's box: a twentieth of a pixel on a screen, about."""
_BYTES = 7  # a point: three numbers of two bytes, and its importance


class Packed(NamedTuple):
    """Clouds as bytes.

    Args:
        data: Cloud after cloud: all x, all y, all z as little-endian uint16 in [0, 4095], then, if
            the cloud has them, importances as uint8, 128 for none.
        counts: Points of each cloud.
    """

    data: bytes
    counts: list[int]


def worst_first(clouds: Sequence[ReportCloud]) -> list[int]:
    """Mistakes by the confidence in the wrong class; then, of each class in turn, the others.

    Clouds of which the truth is not known stay in their order, behind the mistakes.
    """
    wrong = [i for i, cloud in enumerate(clouds) if cloud.wrong]
    wrong.sort(key=lambda i: -clouds[i].top[0][1])
    if all(cloud.truth is None for cloud in clouds):
        return list(range(len(clouds)))
    by_class: dict[str | None, list[int]] = defaultdict(list)
    for i, cloud in enumerate(clouds):
        if not cloud.wrong:
            by_class[cloud.truth].append(i)
    turns = zip_longest(*by_class.values())
    return wrong + [i for turn in turns for i in turn if i is not None]


def fit_into(count: int, room: int) -> tuple[int, int]:
    """Clouds, and points of each, that ``room`` bytes hold in base64, at least one."""
    held = max(room, 0) * 3 // 4 // _BYTES
    points = min(MOST, held // max(count, 1))
    if points >= LEAST:
        return count, points
    return max(1, min(count, held // LEAST)), LEAST


def pack(clouds: Sequence[ReportCloud], most: int) -> Packed:
    """The clouds with at most ``most`` points each, drawn at random, the same every time."""
    parts, counts = [], []
    for cloud in clouds:
        points, importance = cloud.xyz, cloud.importance
        values = None if importance is None else np.asarray(importance, np.float64)
        if len(points) > most:
            chosen = np.sort(np.random.default_rng(0).permutation(len(points))[:most])
            points = points[chosen]
            values = None if values is None else values[chosen]
        counts.append(len(points))
        parts.append(_steps(points).T.astype("<u2").tobytes())
        if values is not None:
            parts.append(shades(values).tobytes())
    return Packed(b"".join(parts), counts)


def _steps(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """In steps from the middle of the box, so that the longest side has all of them."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = (high - low).max()
    scaled = (points - (low + high) / 2) / (side if side > 0 else 1.0)
    return np.rint((scaled + 0.5) * LEVELS)


def shades(values: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Importances by the largest ones, whose 2 % are clipped, as 1 ... 255 with 128 for none."""
    values = np.nan_to_num(np.asarray(values, np.float64))
    largest = np.quantile(np.abs(values), 0.98) or np.abs(values).max() or 1.0
    return np.rint(128 + 127 * np.clip(values / largest, -1.0, 1.0)).astype(np.uint8)
