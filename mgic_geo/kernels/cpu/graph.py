"""Whether a graph of compressed rows is one: loops read it without asking again."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numba
import numpy as np
from torch import Tensor

from mgic_geo.errors import DataError


def check_rows(rowptr: Tensor, col: Tensor, nodes: int) -> None:
    """Raises ``DataError`` unless ``rowptr`` and ``col`` are rows of a graph on ``nodes`` nodes.

    A visit to each index, in vector code: a hundredth of what an operator on the graph takes.
    """
    rows, columns = rowptr.contiguous().numpy(), col.contiguous().numpy()
    # As unsigned numbers negative ones are the largest, so that one comparison does for both ends.
    if _sound(rows, columns.view(np.uint32), nodes):
        return
    ends = np.diff(rows)
    if rows[0] != 0 or rows[-1] != len(columns) or ends.min(initial=0) < 0:
        raise DataError(f"the graph is damaged: its rows do not cover its {len(columns)} edges")
    wrong = int(np.flatnonzero((columns < 0) | (columns >= nodes))[0])
    raise DataError(f"edge {wrong} of the graph names node {columns[wrong]} of {nodes} nodes")


@numba.njit(nogil=True, cache=True)
def _sound(rowptr, col, nodes):
    rows = rowptr.shape[0] - 1
    if rowptr[0] != 0 or rowptr[rows] != col.shape[0]:
        return False
    falling = 0
    for i in range(rows):
        falling += rowptr[i + 1] < rowptr[i]
    if falling:
        return False
    largest = np.uint32(0)
    for e in range(col.shape[0]):
        largest = max(largest, col[e])
    return col.shape[0] == 0 or largest < nodes
