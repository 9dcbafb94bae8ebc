"""Edges grouped by their target: what aggregation reads."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from mgic_geo.kernels import group_edges
from mgic_geo.kernels.rows import row_of_entries


class Neighborhoods(NamedTuple):
    """A graph as compressed rows: node ``i`` has the neighbours ``col[rowptr[i]:rowptr[i + 1]]``.

    Args:
        rowptr: First edge of each node, int32 ``[N + 1]``.
        col: Neighbour of each edge, int32 ``[E]``.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import Neighborhoods
        >>> edge_index = torch.tensor([[1, 2, 0], [0, 0, 2]])
        >>> graph = Neighborhoods.from_edge_index(edge_index, num_nodes=3)
        >>> graph.rowptr.tolist(), graph.col.tolist()  # node 1 has no neighbour
        ([0, 2, 2, 3], [1, 2, 0])
        >>> graph.target().tolist()
        [0, 0, 2]
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
        return Neighborhoods(*group_edges(edge_index, num_nodes))

    def target(self) -> Tensor:
        """The node that each edge belongs to, int64 ``[E]``."""
        return row_of_entries(self.rowptr, self.col.size(0))
