"""Edges counted and placed in one thread: two visits, none where they are sorted by target."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor


def group_edges(edge_index: Tensor, nodes: int) -> tuple[Tensor, Tensor] | None:
    """Row pointers and columns of ``edge_index`` ``[2, E]``; None if it names other nodes."""
    rowptr = torch.zeros(nodes + 1, dtype=torch.int32)
    col = torch.empty(edge_index.size(1), dtype=torch.int32)
    source, target = edge_index.contiguous().numpy()
    known = _group(source, target, rowptr.numpy(), col.numpy())
    return (rowptr, col) if known else None


@numba.njit(nogil=True, cache=True)
def _group(source, target, rowptr, col):
    """Counts, then places; edges that are sorted by target are copied."""
    edges, nodes = source.shape[0], rowptr.shape[0] - 1
    in_order, row = True, np.int64(0)
    for e in range(edges):
        j, i = source[e], target[e]
        if j < 0 or j >= nodes or i < 0 or i >= nodes:
            return False
        col[e] = j
        if i < row:
            in_order = False
        elif in_order:
            for r in range(row, i):
                rowptr[r + 1] = e
            row = i
    if in_order:
        rowptr[row + 1 :] = edges
        return True
    rowptr[:] = 0
    for e in range(edges):
        rowptr[target[e] + 1] += 1
    for i in range(nodes):
        rowptr[i + 1] += rowptr[i]
    place = rowptr[:-1].copy()
    for e in range(edges):
        i = target[e]
        col[place[i]] = source[e]
        place[i] += 1
    return True
