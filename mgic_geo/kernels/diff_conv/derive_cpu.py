"""Features and derivatives of some nodes, written to memory for a matrix product."""

# mypy: disable-error-code="no-untyped-def, unreachable"

from __future__ import annotations

import numba
from torch import Tensor

from mgic_geo.kernels.cpu.memory import arrays
from mgic_geo.kernels.cpu.threads import PARTS, parts_for, run_parts

# Fused multiply-add and reassociation let the inner loops use vector units. NaN and infinity must
# stay visible, so "nnan" and "ninf" are left out.
_FAST = {"contract", "reassoc", "nsz", "arcp"}


def derive(x: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor, start: int, stop: int) -> Tensor:
    """:func:`mgic_geo.kernels.derive` of the nodes from ``start`` to ``stop``."""
    f = x.new_empty(stop - start, weight.size(1) + 1, x.size(1))
    args = arrays(x, rowptr, col, weight, f)
    run_parts(_derive, parts_for(2 * f.numel(), PARTS), *args, start, stop)
    return f


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _derive(part, parts, x, rowptr, col, weight, f, start, stop):
    """f[:, 0] = x, f[:, 1:] = the derivatives; three terms share a load of x_j."""
    channels, count = x.shape[1], stop - start
    for n in range(part * count // parts, (part + 1) * count // parts):
        row, i = f[n], start + n
        for c in range(channels):
            row[0, c] = x[i, c]
        row[1:] = 0.0
        for e in range(rowptr[i], rowptr[i + 1]):
            j = col[e]
            for t in range(0, weight.shape[1] - 2, 3):
                w0 = weight[e, t]
                w1 = weight[e, t + 1]
                w2 = weight[e, t + 2]
                for c in range(channels):
                    v = x[j, c]
                    row[t + 1, c] += w0 * v
                    row[t + 2, c] += w1 * v
                    row[t + 3, c] += w2 * v
            for t in range(weight.shape[1] // 3 * 3, weight.shape[1]):
                w0 = weight[e, t]
                for c in range(channels):
                    row[t + 1, c] += w0 * x[j, c]
