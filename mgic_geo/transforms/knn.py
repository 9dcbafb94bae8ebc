"""The kNN graph as a transform."""

from __future__ import annotations

from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from mgic_geo.graph import knn_graph
from mgic_geo.transforms._base import Transform


class KNNGraph(Transform):
    """Joins every point to its ``k`` nearest ones.

    PyG's ``KNNGraph``, which needs ``pyg-lib``; this one runs everywhere, see
    :func:`mgic_geo.graph.knn_graph`.

    Args:
        k: Number of neighbours; in a cloud with fewer other points, these.
        loop: Whether a point counts as its own neighbour.
        force_undirected: Add the opposite of every edge, sort them and drop what is there twice.
        flow: As in :func:`mgic_geo.graph.knn_graph`.
        cosine: Use the cosine distance.
        num_workers: As in :func:`mgic_geo.graph.knn`.

    Shapes:
        ``data.pos [N, D]`` -> adds ``data.edge_index [2, E]``, :math:`E = N k` where it is directed
        and all clouds have enough points.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import KNNGraph
        >>> KNNGraph(k=6)(Data(pos=torch.rand(50, 3)))
        Data(pos=[50, 3], edge_index=[2, 300])
    """

    def __init__(
        self,
        k: int = 6,
        loop: bool = False,
        force_undirected: bool = False,
        flow: str = "source_to_target",
        cosine: bool = False,
        num_workers: int = 1,
    ) -> None:
        self.k = k
        self.loop = loop
        self.force_undirected = force_undirected
        self.flow = flow
        self.cosine = cosine
        self.num_workers = num_workers

    def forward(self, data: Data) -> Data:
        assert data.pos is not None, "KNNGraph needs data.pos"
        edge_index = knn_graph(
            data.pos, self.k, data.batch, self.loop, self.flow, self.cosine, self.num_workers
        )
        if self.force_undirected:
            edge_index = to_undirected(edge_index, num_nodes=data.num_nodes)
        data.edge_index = edge_index
        data.edge_attr = None  # it belonged to the edges before
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(k={self.k})"
