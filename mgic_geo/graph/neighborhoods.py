"""Edges grouped by their target: what aggregation reads."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.kernels import _dispatch


class Neighborhoods(NamedTuple):
    """A graph as compressed rows: node ``i`` has the neighbours ``col[rowptr[i]:rowptr[i + 1]]``.

    Args:
        rowptr: int32 ``[N + 1]``.
        col: int32 ``[E]``.
    """

    rowptr: Tensor
    col: Tensor

    @property
    def num_nodes(self) -> int:
        return self.rowptr.size(0) - 1

    @staticmethod
    def from_edge_index(edge_index: Tensor, num_nodes: int) -> Neighborhoods:
        """Groups the edges ``edge_index`` ``[2, E]`` (row 0 sources, row 1 targets), order kept.

        Raises:
            DataError: An edge names a node that does not exist.
        """
        if _dispatch.compiled is not None and _plain(edge_index):
            from mgic_geo.kernels import _numba_operators

            rows = _numba_operators.group_by_target(edge_index, num_nodes)
            if rows is not None:
                return Neighborhoods(*rows)
        source, target = edge_index
        if edge_index.numel():  # the kernels read without asking again
            first, last = (int(end) for end in edge_index.aminmax())
            if first < 0 or last >= num_nodes:
                wrong = first if first < 0 else last
                raise DataError(f"edge_index names node {wrong}, there are {num_nodes} nodes")
        if target.numel() > 1 and not bool((target[1:] >= target[:-1]).all()):
            order = torch.argsort(target, stable=True)
            source, target = source[order], target[order]
        rowptr = torch.zeros(num_nodes + 1, dtype=torch.int32, device=target.device)
        torch.cumsum(torch.bincount(target, minlength=num_nodes), 0, out=rowptr[1:])
        return Neighborhoods(rowptr, source.to(torch.int32).contiguous())

    def target(self) -> Tensor:
        """The node that each edge belongs to, int64 ``[E]``."""
        nodes = torch.arange(self.num_nodes, device=self.rowptr.device)
        return torch.repeat_interleave(
            nodes, self.rowptr.diff().long(), output_size=self.col.size(0)
        )


def _plain(index: Tensor) -> bool:
    """Whether compiled loops may read it."""
    whole = index.dtype in (torch.int64, torch.int32)
    return index.device.type == "cpu" and whole and not torch.compiler.is_compiling()
