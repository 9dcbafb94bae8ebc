"""Neighbourhood graphs that need no compiled extension."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels.dispatch import is_readable, runs_plain
from mgic_geo.kernels.neighbors import available_backends, neighbor_table

__all__ = ["available_backends", "knn", "knn_graph", "radius", "radius_graph"]


def knn(
    x: Tensor,
    y: Tensor,
    k: int,
    batch_x: Tensor | None = None,
    batch_y: Tensor | None = None,
    cosine: bool = False,
    num_workers: int | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
) -> Tensor:
    """For every point of ``y`` its ``k`` nearest points of ``x`` in the same cloud.

    The name, arguments and result of PyG's ``knn``, which needs ``pyg-lib``.

    Args:
        x: Reference points ``[N, D]``.
        y: Query points ``[M, D]``.
        k: Number of neighbours.
        batch_x: Cloud of each reference point, sorted, ``[N]``.
        batch_y: Cloud of each query point, sorted, ``[M]``.
        cosine: Use the cosine distance.
        num_workers: Threads of the search on the CPU, by default as many as torch has.
        batch_size: Number of clouds, where the last ones may be empty.
        backend: One of :func:`available_backends`, or ``"auto"``. On the CPU up to 8 dimensions
            that is our own KD-tree (``"compiled"``, with Numba); then pyg-lib, torch-cluster,
            SciPy's KD-tree (``"kdtree"``, as above), all distances in chunks (``"dense"``).

    Returns:
        int64 ``[2, M * k]``: row 0 indexes ``y``, row 1 indexes ``x``, nearest first.

    Raises:
        DataError: A cloud has fewer than ``k`` points, or a coordinate is not finite.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import knn
        >>> x = torch.tensor([[0.0], [1.0], [5.0]])
        >>> knn(x, y=torch.tensor([[4.0]]), k=2).tolist()  # query 0: its nearest are 2, then 1
        [[0, 0], [2, 1]]
    """
    table = neighbor_table(
        x, y, k, batch_x, batch_y, _clouds(batch_size, batch_x, batch_y), cosine=cosine,
        workers=_threads(num_workers), backend=backend,
    )  # fmt: skip
    return _pairs(table, nodes_first=True)


def knn_graph(
    x: Tensor,
    k: int,
    batch: Tensor | None = None,
    loop: bool = False,
    flow: str = "source_to_target",
    cosine: bool = False,
    num_workers: int | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
) -> Tensor:
    """The graph of the ``k`` nearest neighbours inside each cloud.

    The name, arguments and edge order of PyG's ``knn_graph``, which needs ``pyg-lib``: edges are
    grouped by node, the nearest neighbour first. All backends give the same graph, equal distances
    aside.

    Args:
        x: Points ``[N, D]``, or clouds of one size ``[B, n, D]``.
        k: Number of neighbours.
        batch: Cloud of each point, sorted, ``[N]``.
        loop: Count a point among its own neighbours.
        flow: With ``"source_to_target"``, row 0 holds the neighbours and row 1 the nodes; with
            ``"target_to_source"`` the rows change places.
        cosine: Use the cosine distance.
        num_workers: Threads of the search on the CPU, by default as many as torch has.
        batch_size: Number of clouds, where the last ones may be empty.
        backend: As in :func:`knn`.

    Returns:
        edge_index, int64 ``[2, N * k]``.

    Raises:
        DataError: A cloud has too few points for ``k``, or a coordinate is not finite.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import knn_graph
        >>> x = torch.tensor([[0.0], [1.0], [5.0]])
        >>> knn_graph(x, k=1).tolist()  # from neighbours 1, 0, 1 to nodes 0, 1, 2
        [[1, 0, 1], [0, 1, 2]]
        >>> knn_graph(torch.rand(4, 100, 3), k=10).shape  # four clouds, 10 edges a point
        torch.Size([2, 4000])
    """
    x, batch, clouds = _one_graph(x, batch, batch_size, flow)
    table = neighbor_table(
        x, x, k, batch, batch, clouds, own=not loop, cosine=cosine,
        workers=_threads(num_workers), backend=backend,
    )  # fmt: skip
    return _pairs(table, nodes_first=flow == "target_to_source")


def radius(
    x: Tensor,
    y: Tensor,
    r: float,
    batch_x: Tensor | None = None,
    batch_y: Tensor | None = None,
    max_num_neighbors: int = 32,
    num_workers: int | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
) -> Tensor:
    """For every point of ``y`` the points of ``x`` in the same cloud that are within ``r`` of it.

    The name and arguments of PyG's ``radius``, which needs ``pyg-lib``. Where there are more than
    ``max_num_neighbors``, these are the nearest ones.

    Args:
        x: Reference points ``[N, D]``.
        y: Query points ``[M, D]``.
        r: Radius, in the unit of the points.
        batch_x: Cloud of each reference point, sorted, ``[N]``.
        batch_y: Cloud of each query point, sorted, ``[M]``.
        max_num_neighbors: Most neighbours of a point.
        num_workers: As in :func:`knn`.
        batch_size: As in :func:`knn`.
        backend: As in :func:`knn`.

    Returns:
        int64 ``[2, E]``: row 0 indexes ``y``, row 1 indexes ``x``, nearest first.

    Raises:
        DataError: A coordinate is not finite.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import radius
        >>> x = torch.tensor([[0.0], [1.0], [5.0]])
        >>> radius(x, y=torch.tensor([[1.5], [9.0]]), r=2.0).tolist()  # query 1 has none
        [[0, 0], [1, 0]]
    """
    table = neighbor_table(
        x, y, max_num_neighbors, batch_x, batch_y, _clouds(batch_size, batch_x, batch_y), r,
        workers=_threads(num_workers), backend=backend,
    )  # fmt: skip
    return _those_there(table, nodes_first=True)


def radius_graph(
    x: Tensor,
    r: float,
    batch: Tensor | None = None,
    loop: bool = False,
    max_num_neighbors: int = 32,
    flow: str = "source_to_target",
    num_workers: int | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
) -> Tensor:
    """The graph of all neighbours within ``r`` inside each cloud.

    The name and arguments of PyG's ``radius_graph``, which needs ``pyg-lib``; see :func:`radius`.

    Args:
        x: Points ``[N, D]``, or clouds of one size ``[B, n, D]``.
        r: Radius, in the unit of the points.
        batch: Cloud of each point, sorted, ``[N]``.
        loop: Count a point among its own neighbours.
        max_num_neighbors: Most neighbours of a point.
        flow: As in :func:`knn_graph`.
        num_workers: As in :func:`knn`.
        batch_size: As in :func:`knn`.
        backend: As in :func:`knn`.

    Returns:
        edge_index, int64 ``[2, E]``.

    Raises:
        DataError: A coordinate is not finite.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import radius_graph
        >>> x = torch.tensor([[0.0], [1.0], [5.0]])
        >>> radius_graph(x, r=2.0).tolist()  # point 2 stands alone
        [[1, 0], [0, 1]]
    """
    x, batch, clouds = _one_graph(x, batch, batch_size, flow)
    table = neighbor_table(
        x, x, max_num_neighbors, batch, batch, clouds, r, not loop,
        workers=_threads(num_workers), backend=backend,
    )  # fmt: skip
    return _those_there(table, nodes_first=flow == "target_to_source")


def _one_graph(
    x: Tensor, batch: Tensor | None, batch_size: int | None, flow: str
) -> tuple[Tensor, Tensor | None, int]:
    """Points ``[N, D]``, the cloud of each, and how many clouds there are."""
    if flow not in ("source_to_target", "target_to_source"):
        raise ValueError(f"flow = {flow!r}: use 'source_to_target' or 'target_to_source'")
    if x.dim() == 3:
        return x.flatten(0, 1), None, x.size(0)
    return x, batch, _clouds(batch_size, batch)


def _clouds(batch_size: int | None, *batches: Tensor | None) -> int:
    """The least number of clouds: without a batch there is one."""
    if batch_size is None or all(batch is None for batch in batches):
        return 1
    return max(batch_size, 1)


def _threads(num_workers: int | None) -> int:
    if num_workers is None:
        return 0
    if num_workers < 1:
        raise ValueError(f"num_workers = {num_workers}: it must be at least 1")
    return num_workers


def _pairs(table: Tensor, nodes_first: bool) -> Tensor:
    """The edges of each row of the table with what it holds, ``[2, M * k]``."""
    if is_readable(table) and not runs_plain([table]) and table.device.type == "cpu":
        # As in the search: torch's threads would be in the way of the next one.
        edges = np.empty((2, *table.shape), np.int64)
        edges[int(nodes_first)] = table.numpy()
        edges[int(not nodes_first)] = np.arange(len(table))[:, None]
        return torch.from_numpy(edges).view(2, -1)
    nodes = torch.arange(table.size(0), device=table.device).unsqueeze(-1).expand_as(table)
    return torch.stack([nodes, table] if nodes_first else [table, nodes]).flatten(1)


def _those_there(table: Tensor, nodes_first: bool) -> Tensor:
    """:func:`_pairs` without the places that hold no neighbour."""
    edges = _pairs(table, nodes_first)
    return edges[:, edges[int(nodes_first)] >= 0]
