"""Compiled CPU kernels; each has a plain torch twin, which the tests hold it against."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba
import numpy as np

# Fused multiply-add and reassociation let the inner loops use vector units. NaN and infinity must
# stay visible, so "nnan" and "ninf" are left out.
_FAST = {"contract", "reassoc", "nsz", "arcp"}
_NODES_PER_TASK = 64
# Up to this group size all groups are mixed at once, diagonal by diagonal.
_LARGEST_DIAGONAL = 16


@numba.njit(cache=True, fastmath=_FAST, inline="always")
def _derive(i, x, rowptr, col, weight, row):
    """row[0] = x_i, row[1:] = the derivatives at node i; three terms share a load of x_j."""
    channels = x.shape[1]
    for c in range(channels):
        row[0, c] = x[i, c]
    row[1:] = 0.0
    for e in range(rowptr[i], rowptr[i + 1]):
        j = col[e]
        for t in range(0, weight.shape[1], 3):
            w0 = weight[e, t]
            w1 = weight[e, t + 1]
            w2 = weight[e, t + 2]
            for c in range(channels):
                v = x[j, c]
                row[t + 1, c] += w0 * v
                row[t + 2, c] += w1 * v
                row[t + 3, c] += w2 * v


@numba.njit(cache=True, parallel=True, fastmath=_FAST)
def diff_forward(x, mix, rowptr, col, weight):
    """Mixing of small square groups in loops over all channels.

    Diagonal r holds the weights from channel c to (c + r) mod size of every group, so its products
    are one contiguous loop; a turn by r inside each group then brings them to their outputs.
    """
    nodes, channels = x.shape
    size = mix.shape[2]
    m = np.empty((size, 7, channels), x.dtype)
    low = np.empty((size, channels), x.dtype)
    for r in range(size):
        for q in range(channels):
            g, c = q // size, q % size
            low[r, q] = 1.0 if c >= r else 0.0
            for t in range(7):
                m[r, t, q] = mix[g, t, c, (c + r) % size]
    y = np.empty((nodes, channels), x.dtype)
    for b in numba.prange((nodes + _NODES_PER_TASK - 1) // _NODES_PER_TASK):
        row = np.empty((7, channels), x.dtype)
        z = np.zeros(channels + 2 * size, x.dtype)  # a margin, so that turned reads stay inside
        for i in range(b * _NODES_PER_TASK, min((b + 1) * _NODES_PER_TASK, nodes)):
            _derive(i, x, rowptr, col, weight, row)
            for q in range(channels):
                y[i, q] = 0.0
            for r in range(size):
                for q in range(channels):
                    z[size + q] = (
                        row[0, q] * m[r, 0, q]
                        + row[1, q] * m[r, 1, q]
                        + row[2, q] * m[r, 2, q]
                        + row[3, q] * m[r, 3, q]
                        + row[4, q] * m[r, 4, q]
                        + row[5, q] * m[r, 5, q]
                        + row[6, q] * m[r, 6, q]
                    )
                for q in range(channels):
                    y[i, q] += low[r, q] * z[size + q - r] + (1 - low[r, q]) * z[2 * size + q - r]
    return y


@numba.njit(cache=True, parallel=True, fastmath=_FAST)
def _grad_mix_diagonals(x, grad, groups, parts, rowptr, col, weight):
    """The gradient of :func:`diff_forward`; four nodes share a visit to the sums."""
    nodes, channels = x.shape
    size = channels // groups
    low = np.empty((size, channels), x.dtype)
    for r in range(size):
        for q in range(channels):
            low[r, q] = 1.0 if q % size + r < size else 0.0
    partial = np.zeros((parts, size, 7, channels), x.dtype)
    for p in numba.prange(parts):
        rows = np.zeros((4, 7, channels), x.dtype)
        margin = np.zeros((4, channels + 2 * size), x.dtype)
        turned = np.empty((4, channels), x.dtype)
        acc = partial[p]
        stop = (p + 1) * nodes // parts
        for first in range(p * nodes // parts, stop, 4):
            for n in range(4):
                if first + n < stop:
                    _derive(first + n, x, rowptr, col, weight, rows[n])
                    for q in range(channels):
                        margin[n, size + q] = grad[first + n, q]
                else:
                    rows[n] = 0.0
                    margin[n] = 0.0
            for r in range(size):
                for n in range(4):
                    for q in range(channels):
                        turned[n, q] = (
                            low[r, q] * margin[n, size + q + r] + (1 - low[r, q]) * margin[n, q + r]
                        )
                for t in range(7):
                    for q in range(channels):
                        acc[r, t, q] += (
                            rows[0, t, q] * turned[0, q]
                            + rows[1, t, q] * turned[1, q]
                            + rows[2, t, q] * turned[2, q]
                            + rows[3, t, q] * turned[3, q]
                        )
    total = partial.sum(axis=0)
    out = np.empty((groups, 7, size, size), x.dtype)
    for r in range(size):
        for t in range(7):
            for q in range(channels):
                g, c = q // size, q % size
                out[g, t, c, (c + r) % size] = total[r, t, q]
    return out


def mixes_in_place(size, out):
    """Whether groups of this size are mixed without writing the derivatives to memory.

    Larger ones are left to a matrix product: it wins back more than the traffic costs.
    """
    return size == out <= _LARGEST_DIAGONAL


def diff_grad_mix(x, grad, groups, rowptr, col, weight):
    """``g[g, t, c, o] = sum_i (D_t x)[i, g c] grad[i, g o]``, a partial sum a thread."""
    return _grad_mix_diagonals(x, grad, groups, numba.get_num_threads(), rowptr, col, weight)


@numba.njit(cache=True, parallel=True, fastmath=_FAST)
def derive(x, rowptr, col, weight):
    """Features and derivatives of all nodes, ``[N, T + 1, C]``."""
    nodes, channels = x.shape
    f = np.empty((nodes, weight.shape[1] + 1, channels), x.dtype)
    for b in numba.prange((nodes + _NODES_PER_TASK - 1) // _NODES_PER_TASK):
        for i in range(b * _NODES_PER_TASK, min((b + 1) * _NODES_PER_TASK, nodes)):
            _derive(i, x, rowptr, col, weight, f[i])
    return f


@numba.njit(cache=True, parallel=True)
def neighbor_max(x, rowptr, col):
    """Maximum over the neighbours and whose it was; 0 and -1 where a node has none."""
    channels = x.shape[1]
    count = rowptr.shape[0] - 1
    best = np.empty((count, channels), x.dtype)
    who = np.empty((count, channels), np.int32)
    for b in numba.prange((count + _NODES_PER_TASK - 1) // _NODES_PER_TASK):
        for i in range(b * _NODES_PER_TASK, min((b + 1) * _NODES_PER_TASK, count)):
            start, stop = rowptr[i], rowptr[i + 1]
            if start == stop:
                best[i] = 0.0
                who[i] = -1
                continue
            j = col[start]
            for c in range(channels):
                best[i, c] = x[j, c]
                who[i, c] = j
            for e in range(start + 1, stop):
                j = col[e]
                for c in range(channels):
                    v = x[j, c]
                    larger = (v > best[i, c]) | (v != v)  # NaN stays visible
                    best[i, c] = v if larger else best[i, c]
                    who[i, c] = j if larger else who[i, c]
    return best, who


@numba.njit(cache=True, parallel=True)
def neighbor_max_grad(grad, who, nodes, parts):
    """Sends each gradient to the neighbour that was the maximum; threads share out the channels."""
    count, channels = grad.shape
    out = np.zeros((nodes, channels), grad.dtype)
    for p in numba.prange(parts):
        start, stop = p * channels // parts, (p + 1) * channels // parts
        for i in range(count):
            for c in range(start, stop):
                if who[i, c] >= 0:
                    out[who[i, c], c] += grad[i, c]
    return out


@numba.njit(cache=True)
def transpose(rowptr, col, nodes):
    """The transposed pattern: row pointers, columns, and where each entry stood before."""
    start = np.zeros(nodes + 1, np.int32)
    for e in range(col.shape[0]):
        start[col[e] + 1] += 1
    for j in range(nodes):
        start[j + 1] += start[j]
    fill = start[:-1].copy()
    row = np.empty(col.shape[0], np.int32)
    source = np.empty(col.shape[0], np.int32)
    for i in range(rowptr.shape[0] - 1):
        for e in range(rowptr[i], rowptr[i + 1]):
            slot = fill[col[e]]
            row[slot] = i
            source[slot] = e
            fill[col[e]] = slot + 1
    return start, row, source
