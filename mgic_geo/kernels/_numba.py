"""Compiled CPU kernels; each has a plain torch twin, which the tests hold it against."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba
import numpy as np

# Fused multiply-add and reassociation let the inner loops use vector units. NaN and infinity must
# stay visible, so "nnan" and "ninf" are left out.
_FAST = {"contract", "reassoc", "nsz", "arcp"}
_NODES_PER_TASK = 64


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
def derive(x, rowptr, col, weight, start, stop):
    """Features and derivatives of the nodes from start to stop, ``[stop - start, T + 1, C]``."""
    f = np.empty((stop - start, weight.shape[1] + 1, x.shape[1]), x.dtype)
    for b in numba.prange((stop - start + _NODES_PER_TASK - 1) // _NODES_PER_TASK):
        first = start + b * _NODES_PER_TASK
        for i in range(first, min(first + _NODES_PER_TASK, stop)):
            _derive(i, x, rowptr, col, weight, f[i - start])
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
