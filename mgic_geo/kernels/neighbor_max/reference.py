"""Maximum over neighbours in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels.rows import row_of_entries


def neighbor_max_reference(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    """What :func:`~mgic_geo.kernels.neighbor_max` computes."""
    count, edges = rowptr.size(0) - 1, col.size(0)
    target = row_of_entries(rowptr, edges).unsqueeze(-1).expand(-1, x.size(1))
    values = x[col.long()]
    top = x.new_zeros(count, x.size(1)).scatter_reduce(
        0, target, values.detach(), "amax", include_self=False
    )
    place = torch.arange(edges, device=x.device).unsqueeze(-1).expand_as(values)
    of_target = top.gather(0, target)
    less = (values < of_target) | (of_target.isnan() & ~values.isnan())  # NaN is the largest
    place = place.masked_fill(less, edges)
    first = place.new_full(top.shape, edges).scatter_reduce(0, target, place, "amin")
    none = torch.cat([col, col.new_full((1,), -1)])
    who = none[first].int()
    # Taken once more by index, so that the gradient goes to the first among equals alone.
    best = torch.cat([x, x.new_zeros(1, x.size(1))]).gather(
        0, torch.where(who < 0, x.size(0), who).long()
    )
    return best, who


def neighbor_max_grad_reference(grad: Tensor, who: Tensor, nodes: int) -> Tensor:
    """The gradient of ``x``, ``[nodes, C]``."""
    out = grad.new_zeros(nodes + 1, grad.size(1))
    slots = torch.where(who < 0, nodes, who).long()
    return out.scatter_add(0, slots, grad)[:nodes].contiguous()
