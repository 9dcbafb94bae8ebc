"""Channel attention of images whose channels lie side by side."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba

# None of these may raise: other threads wait until their part is done.


@numba.njit(cache=True, nogil=True, error_model="numpy")
def mean_pixels(x, b, first, last, mean):
    """The means over the pixels of ``x[b]``, of the channels from ``first`` to ``last``."""
    for c in range(first, last):
        mean[b, c] = 0
    for p in range(x.shape[1]):
        for c in range(first, last):
            mean[b, c] += x[b, p, c]
    for c in range(first, last):
        mean[b, c] /= x.shape[1]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def gate_channels(mean, b, g, reduce, reduce_bias, expand, expand_bias, gate):
    """The gates of group ``g`` of image ``b`` from its channels' means.

    Behind the gates of all channels, ``gate[b]`` has room for what is between the two maps.
    """
    groups, size, inner = reduce.shape
    own, hidden = g * size, groups * size + g * inner
    for i in range(inner):
        gate[b, hidden + i] = reduce_bias[g, i]
    for c in range(size):
        m = mean[b, own + c]
        for i in range(inner):  # along the last axis, which fills vector registers
            gate[b, hidden + i] += reduce[g, c, i] * m
    for c in range(size):
        gate[b, own + c] = expand_bias[g, c]
    for i in range(inner):
        h = max(gate[b, hidden + i], 0)
        for c in range(size):
            gate[b, own + c] += expand[g, i, c] * h
    for c in range(size):
        gate[b, own + c] = min(max(gate[b, own + c] + 3, 0), 6) / 6


@numba.njit(cache=True, nogil=True, error_model="numpy")
def scale_pixels(x, b, first, last, gate, y):
    """The pixels of ``x[b]`` from ``first`` to ``last``, times its gates."""
    for p in range(first, last):
        for c in range(x.shape[2]):
            y[b, p, c] = x[b, p, c] * gate[b, c]
