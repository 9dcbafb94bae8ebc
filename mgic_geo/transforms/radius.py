"""The graph of all neighbours within a radius as a transform."""

from __future__ import annotations

from torch_geometric.data import Data

from mgic_geo.graph import radius_graph
from mgic_geo.transforms._base import Transform


class RadiusGraph(Transform):
    """Joins every point to those within ``r`` of it.

    PyG's ``RadiusGraph`` needs ``pyg-lib``; this one runs everywhere, see
    :func:`mgic_geo.graph.radius_graph`.

    Args:
        r: Radius, in the unit of the points.
        loop: Whether a point counts as its own neighbour.
        max_num_neighbors: Most neighbours of a point: the nearest ones.
        flow: As in :func:`mgic_geo.graph.knn_graph`.
        num_workers: As in :func:`mgic_geo.graph.knn`.

    Shapes:
        ``data.pos [N, D]`` -> adds ``data.edge_index [2, E]``.

    Raises:
        DataError: A coordinate is not finite.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from mgic_geo.transforms import RadiusGraph
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
        >>> RadiusGraph(r=2.0)(Data(pos=pos)).edge_index.tolist()  # point 2 stands alone
        [[1, 0], [0, 1]]
    """

    def __init__(
        self,
        r: float,
        loop: bool = False,
        max_num_neighbors: int = 32,
        flow: str = "source_to_target",
        num_workers: int = 1,
    ) -> None:
        self.r = r
        self.loop = loop
        self.max_num_neighbors = max_num_neighbors
        self.flow = flow
        self.num_workers = num_workers

    def forward(self, data: Data) -> Data:
        assert data.pos is not None, "RadiusGraph needs data.pos"
        data.edge_index = radius_graph(
            data.pos, self.r, data.batch, self.loop, self.max_num_neighbors, self.flow,
            self.num_workers,
        )  # fmt: skip
        data.edge_attr = None  # it belonged to the edges before
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(r={self.r})"
