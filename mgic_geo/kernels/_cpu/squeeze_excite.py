"""Channel attention of images whose channels lie side by side."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def mean_pixels(x, b, first, last, mean):
    """The means over the pixels of ``x[b]``, of the channels from ``first`` to ``last``."""
    total = np.zeros(last - first, x.dtype)
    for p in range(x.shape[1]):
        for c in range(last - first):
            total[c] += x[b, p, first + c]
    for c in range(last - first):
        mean[b, first + c] = total[c] / x.shape[1]


@numba.njit(cache=True, nogil=True)
def gate_channels(mean, b, g, reduce, reduce_bias, expand, expand_bias, gate):
    """The gates of group ``g`` of image ``b`` from its channels' means."""
    size, inner = reduce.shape[1:]
    hidden, own = reduce_bias[g].copy(), expand_bias[g].copy()
    for c in range(size):
        m = mean[b, g * size + c]
        for i in range(inner):  # along the last axis, which fills vector registers
            hidden[i] += reduce[g, c, i] * m
    for i in range(inner):
        h = max(hidden[i], 0)
        for c in range(size):
            own[c] += expand[g, i, c] * h
    for c in range(size):
        gate[b, g * size + c] = min(max(own[c] + 3, 0), 6) / 6


@numba.njit(cache=True, nogil=True)
def scale_pixels(x, b, first, last, gate, y):
    """The pixels of ``x[b]`` from ``first`` to ``last``, times its gates."""
    for p in range(first, last):
        for c in range(x.shape[2]):
            y[b, p, c] = x[b, p, c] * gate[b, c]
