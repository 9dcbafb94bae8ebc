"""The kNN graph as a transform."""

from __future__ import annotations

from torch_geometric.data import Data

from mgic_geo.graph import knn_graph
from mgic_geo.transforms._base import Transform


class KNNGraph(Transform):
    """Joins every point to its ``k`` nearest ones.

    PyG's ``KNNGraph`` needs ``pyg-lib``; this one runs everywhere, see
    :func:`mgic_geo.graph.knn_graph`.

    Args:
        k: Number of neighbours.
        loop: Whether a point counts as its own neighbour.

    Shapes:
        ``data.pos [N, D]`` -> adds ``data.edge_index [2, N * k]``.

    Raises:
        DataError: A cloud with too few points for ``k``.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import KNNGraph
        >>> KNNGraph(k=6)(Data(pos=torch.rand(50, 3)))
        Data(pos=[50, 3], edge_index=[2, 300])
    """

    def __init__(self, k: int, loop: bool = False) -> None:
        self.k = k
        self.loop = loop

    def forward(self, data: Data) -> Data:
        data.edge_index = knn_graph(data.pos, self.k, batch=data.batch, loop=self.loop)
        data.edge_attr = None  # it belonged to the edges before
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(k={self.k}, loop={self.loop})"
