"""Weights of the derivatives row by row, then the transposed rows; parts of both on all threads."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels.cpu.threads import run_parts

_MOST_PARTS = 8  # each has a counter a node; more threads would not raise the memory bandwidth
_WORTH_SHARING = 2**13  # edges: about as long as a thread takes to wake up


def derivative_operators(
    pos: Tensor, rowptr: Tensor, col: Tensor
) -> tuple[float, tuple[Tensor, ...]]:
    """The operators of ``fit="average"`` for positions ``[N, 3]`` and a graph.

    Returns:
        The longest edge (NaN where a length is), and the operators, which are filled unless that
        makes no sense.
    """
    nodes, entries = rowptr.numel() - 1, col.numel() + rowptr.numel() - 1
    made = tuple(
        tensor
        for _ in range(2)
        for tensor in (
            rowptr.new_empty(nodes + 1),
            rowptr.new_empty(entries),
            pos.new_empty(entries, 6),
        )
    )
    forward, transposed = [[t.numpy() for t in made[at : at + 3]] for at in (0, 3)]
    parts = min(torch.get_num_threads(), _MOST_PARTS) if col.numel() > _WORTH_SHARING else 1
    slots = np.zeros((parts, nodes), np.int32)
    longest = np.zeros(parts, forward[2].dtype)
    graph = [t.contiguous().numpy() for t in (pos.detach(), rowptr, col)]
    run_parts(_derivatives, parts, *graph, *forward, slots, longest)
    top = float(longest.max())  # NaN stays visible
    if 0.0 < top < np.inf or not col.numel():
        _first_slots(slots, transposed[0])
        run_parts(_transpose, parts, *forward, slots, *transposed[1:])
    return top, made


@numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def _derivatives(part, parts, pos, rowptr, col, row_starts, columns, weight, counts, longest):
    """The rows of a part, each with one more entry for the node itself; counts their columns."""
    nodes = rowptr.shape[0] - 1
    count = counts[part]
    one = pos.dtype.type(1.0)
    tiny = np.sqrt(np.finfo(pos.dtype).tiny)  # shorter edges: no unit vector, as their square is 0
    top = pos.dtype.type(0.0)
    if part == 0:
        row_starts[0] = 0
    for i in range(part * nodes // parts, (part + 1) * nodes // parts):
        start, stop = rowptr[i], rowptr[i + 1]
        share = one / pos.dtype.type(max(stop - start, 1))
        x, y, z = pos[i, 0], pos[i, 1], pos[i, 2]
        gx = gy = gz = lx = ly = lz = pos.dtype.type(0.0)
        for e in range(start, stop):
            j = col[e]
            ux, uy, uz = pos[j, 0] - x, pos[j, 1] - y, pos[j, 2] - z
            length = np.sqrt(ux * ux + uy * uy + uz * uz)
            if length > top or length != length:  # NaN stays: no length is larger
                top = length
            scale = one / max(length, tiny)
            ux *= scale
            uy *= scale
            uz *= scale
            entry = e + i
            columns[entry] = j
            count[j] += 1
            weight[entry, 0] = ux * share
            weight[entry, 1] = uy * share
            weight[entry, 2] = uz * share
            weight[entry, 3] = ux * ux * share
            weight[entry, 4] = uy * uy * share
            weight[entry, 5] = uz * uz * share
            gx += ux * share
            gy += uy * share
            gz += uz * share
            lx += ux * ux * share
            ly += uy * uy * share
            lz += uz * uz * share
        entry = stop + i
        columns[entry] = i
        count[i] += 1
        weight[entry, 0] = -gx
        weight[entry, 1] = -gy
        weight[entry, 2] = -gz
        weight[entry, 3] = -lx
        weight[entry, 4] = -ly
        weight[entry, 5] = -lz
        row_starts[i + 1] = entry + 1
    longest[part] = top


@numba.njit(nogil=True, cache=True)
def _first_slots(counts, rowptr):
    """Counts of each part and column become the place of the first of them; the row pointers."""
    total = np.int32(0)
    for j in range(counts.shape[1]):
        rowptr[j] = total
        for part in range(counts.shape[0]):
            count = counts[part, j]
            counts[part, j] = total
            total += count
    rowptr[counts.shape[1]] = total


@numba.njit(nogil=True, cache=True)
def _transpose(part, parts, rowptr, col, weight, slots, col_t, weight_t):
    """Sends the rows of a part to their columns; within a column they stay in order."""
    nodes = rowptr.shape[0] - 1
    slot = slots[part]
    for i in range(part * nodes // parts, (part + 1) * nodes // parts):
        for e in range(rowptr[i], rowptr[i + 1]):
            place = slot[col[e]]
            slot[col[e]] = place + 1
            col_t[place] = i
            for t in range(6):
                weight_t[place, t] = weight[e, t]
