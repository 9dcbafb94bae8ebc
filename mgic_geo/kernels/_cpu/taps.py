"""Which pixels a filter sees."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from mgic_geo.kernels._cpu.interpreter import ROOM


@functools.lru_cache(256)
def taps_of(height: int, width: int, side: int, stride: int, dilation: int) -> Any:
    """The pixel under each tap for each pixel of the result, ``[taps, H_out * W_out + more]``.

    -1 outside of the image; some more at the end repeat the last, so that a tile may read on.
    """
    pad = dilation * (side // 2)
    places = []
    for size in (height, width):
        start = np.arange(-(-size // stride), dtype=np.int32) * stride - pad
        at = start + np.arange(side, dtype=np.int32)[:, None] * dilation
        places.append(np.where((at >= 0) & (at < size), at, -1))
    rows, columns = places[0][:, None, :, None], places[1][None, :, None, :]
    table = np.where((rows < 0) | (columns < 0), -1, rows * width + columns)
    table = table.reshape(side * side, -1)
    more = np.repeat(table[:, -1:], ROOM, axis=1)
    return np.ascontiguousarray(np.concatenate([table, more], axis=1), np.int32)
