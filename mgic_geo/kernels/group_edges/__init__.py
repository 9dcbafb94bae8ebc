"""Edges grouped by their target."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mgic_geo.errors import DataError
from mgic_geo.kernels.dispatch import reads_indices
from mgic_geo.kernels.group_edges.reference import group_edges_reference
from mgic_geo.kernels.operator import operator

__all__ = [
    "group_edges",
    "group_edges_reference",
]


def _check_shape(edge_index: Tensor) -> None:
    if edge_index.dim() != 2 or edge_index.size(0) != 2:
        raise ValueError(f"edge_index must be [2, E], got {list(edge_index.shape)}")
    if edge_index.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"edge_index must be int64 or int32, got {edge_index.dtype}")


def _check(edge_index: Tensor, num_nodes: int) -> None:
    _check_shape(edge_index)
    if edge_index.numel():
        first, last = (int(end) for end in edge_index.aminmax())
        if first < 0 or last >= num_nodes:
            wrong = first if first < 0 else last
            raise DataError(f"edge_index names node {wrong}, there are {num_nodes} nodes")


@operator(group_edges_reference, _check)
def group_edges(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """The edges of each node one after another, in the order in which they are given.

    Args:
        edge_index: int64 or int32 ``[2, E]``, row 0 the neighbours, row 1 the nodes.
        num_nodes: Number of nodes :math:`N`.

    Returns:
        First edge of each node, int32 ``[N + 1]``, and the neighbours, int32 ``[E]``.

    Raises:
        ValueError: ``edge_index`` has another shape, or holds no integers.
        DataError: An edge names a node that does not exist.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import group_edges
        >>> rowptr, col = group_edges(torch.tensor([[1, 2, 0], [2, 0, 2]]), num_nodes=3)
        >>> rowptr.tolist(), col.tolist()  # node 0 has 2, node 1 none, node 2 has 1 and 0
        ([0, 1, 1, 3], [2, 1, 0])
    """
    _check_shape(edge_index)
    if reads_indices(edge_index):
        from mgic_geo.kernels.group_edges import cpu

        if (rows := cpu.group_edges(edge_index, num_nodes)) is not None:
            return rows
    _check(edge_index, num_nodes)
    return group_edges_reference(edge_index, num_nodes)


@group_edges.register_fake
def _(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    rowptr = edge_index.new_empty(num_nodes + 1, dtype=torch.int32)
    return rowptr, edge_index.new_empty(edge_index.size(1), dtype=torch.int32)


@register_flop_formula(group_edges.op.overloadpacket)
def _flops(*_: Any, **__: Any) -> int:
    return 0
