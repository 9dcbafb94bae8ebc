"""Whether a graph of compressed rows is one: loops read it without asking again."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba
from torch import Tensor

from mgic_geo.errors import DataError


def check_rows(rowptr: Tensor, col: Tensor, nodes: int) -> None:
    """Raises ``DataError`` unless ``rowptr`` and ``col`` are rows of a graph on ``nodes`` nodes.

    A visit to each index, some microseconds: far less than any operator on the graph.
    """
    wrong = _first_wrong(rowptr.contiguous().numpy(), col.contiguous().numpy(), nodes)
    if wrong == -1:
        return
    if wrong < -1:
        raise DataError(
            f"the graph is damaged: row {-2 - wrong} of rowptr does not end between its start and "
            f"the {col.numel()} edges"
        )
    raise DataError(f"edge {wrong} of the graph names node {int(col[wrong])} of {nodes} nodes")


@numba.njit(nogil=True, cache=True)
def _first_wrong(rowptr, col, nodes):
    """-1 if all is well, the first edge that names no node, or -2 less the first broken row."""
    rows = rowptr.shape[0] - 1
    if rowptr[0] != 0:
        return -2
    for i in range(rows):
        if rowptr[i + 1] < rowptr[i]:
            return -2 - i
    if rowptr[rows] != col.shape[0]:
        return -2 - max(rows - 1, 0)
    low = high = 0
    for e in range(col.shape[0]):
        low, high = min(low, col[e]), max(high, col[e])
    if low >= 0 and high < max(nodes, 1):
        return -1
    for e in range(col.shape[0]):
        if col[e] < 0 or col[e] >= nodes:
            return e
    return -1
