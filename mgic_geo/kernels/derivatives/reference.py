"""Derivative operators of a graph with positions in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels.derivatives.least_squares import least_squares_derivatives
from mgic_geo.kernels.rows import row_of_entries, row_pointers

Operators = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def derivative_operators_reference(pos: Tensor, rowptr: Tensor, col: Tensor, fit: str) -> Operators:
    """What :func:`~mgic_geo.kernels.derivative_operators` computes."""
    nodes, dims = rowptr.size(0) - 1, pos.size(1)
    target = row_of_entries(rowptr, col.size(0))
    offset = pos[col.long()] - pos[target]
    if fit == "least_squares":
        edges = least_squares_derivatives(offset, target, nodes)
    else:
        # Below this length its square underflows, and the direction would be no unit vector.
        tiny = torch.finfo(pos.dtype).tiny ** 0.5
        direction = offset / offset.norm(dim=-1, keepdim=True).clamp_min(tiny)
        degree = rowptr.diff().to(pos.dtype)
        edges = torch.cat([direction, direction.square()], dim=-1) / degree[target, None]
    # Each row gets one more entry, for the node itself, so that differences f_j - f_i need no
    # gather.
    itself = torch.arange(nodes, device=pos.device)
    own = -edges.new_zeros(nodes, 2 * dims).index_add(0, target, edges)
    order = torch.argsort(torch.cat([2 * target, 2 * itself + 1]), stable=True)
    row = torch.cat([target, itself])[order].to(torch.int32)
    col = torch.cat([col, itself.to(torch.int32)])[order]
    weight = torch.cat([edges, own])[order]
    rowptr = rowptr + torch.arange(nodes + 1, dtype=torch.int32, device=pos.device)
    source = torch.argsort(col, stable=True)
    return rowptr, col, weight, row_pointers(col[source], nodes), row[source], weight[source]
