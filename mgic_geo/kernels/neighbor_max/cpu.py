"""Maximum over neighbours: nodes shared out forward, channels backward."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba
import torch
from torch import Tensor

from mgic_geo.kernels.cpu.memory import arrays
from mgic_geo.kernels.cpu.threads import parts_for, run_parts

_PARTS = 4  # a thread
_WORK = 10  # visits to a number: its node's neighbours


def neighbor_max_forward(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    """The maxima, and whose they are."""
    best = x.new_empty(rowptr.size(0) - 1, x.size(1))
    who = torch.empty_like(best, dtype=torch.int32)
    args = arrays(x, rowptr, col, best, who)
    run_parts(_forward, parts_for(_WORK * best.numel(), _PARTS), *args)
    return best, who


def neighbor_max_backward(grad: Tensor, who: Tensor, nodes: int) -> Tensor:
    """Sends each gradient to the neighbour that was the maximum."""
    out = grad.new_zeros(nodes, grad.size(1))
    run_parts(_backward, parts_for(2 * grad.numel()), *arrays(grad, who, out))
    return out


@numba.njit(cache=True, nogil=True)
def _forward(part, parts, x, rowptr, col, best, who):
    """0 and -1 where a node has no neighbour."""
    count, channels = best.shape
    for i in range(part * count // parts, (part + 1) * count // parts):
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


@numba.njit(cache=True, nogil=True)
def _backward(part, parts, grad, who, out):
    count, channels = grad.shape
    start, stop = part * channels // parts, (part + 1) * channels // parts
    for i in range(count):
        for c in range(start, stop):
            if 0 <= who[i, c] < out.shape[0]:
                out[who[i, c], c] += grad[i, c]
