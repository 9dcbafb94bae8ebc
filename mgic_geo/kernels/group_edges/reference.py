"""Edges grouped by their target in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels.rows import row_pointers


def group_edges_reference(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """What :func:`~mgic_geo.kernels.group_edges` computes."""
    source, target = edge_index.unbind(0)
    order = torch.argsort(target, stable=True)
    return row_pointers(target[order], num_nodes), source[order].to(torch.int32)
