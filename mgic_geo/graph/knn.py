"""Neighbourhood graphs that need no compiled extension."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels.dispatch import is_readable, runs_plain
from mgic_geo.kernels.neighbors import TooFewPoints, available_backends, neighbor_table

__all__ = ["available_backends", "knn", "knn_graph", "radius", "radius_graph"]


class FlowError(ValueError, AssertionError):
    """A ``flow`` that does not exist; for PyG that is an ``AssertionError``."""


def knn(
    x: Tensor,
    y: Tensor,
    k: int,
    batch_x: Tensor | None = None,
    batch_y: Tensor | None = None,
    cosine: bool = False,
    num_workers: int | None = 1,
    batch_size: int | None = None,
    backend: str = "auto",
    strict: bool = False,
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
        num_workers: Threads of the search on the CPU; None for as many as torch has.
        batch_size: Number of clouds, where the last ones may be empty.
        backend: One of :func:`available_backends`, or ``"auto"``. On the CPU up to 8 dimensions
            that is our own KD-tree (``"compiled"``, with Numba); then pyg-lib, torch-cluster,
            SciPy's KD-tree (``"kdtree"``, as above), all distances in chunks (``"dense"``).
        strict: Refuse clouds of fewer than ``k`` points, all of which are neighbours otherwise.

    Returns:
        int64 ``[2, E]``, :math:`E = M k` where all clouds have ``k`` points or more: row 0 indexes
        ``y``, row 1 indexes ``x``, nearest first.

    Raises:
        DataError: A coordinate is not finite, or with ``strict`` a cloud has too few points.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import knn
        >>> x = torch.tensor([[0.0], [1.0], [5.0]])
        >>> knn(x, y=torch.tensor([[4.0]]), k=2).tolist()  # query 0: its nearest are 2, then 1
        [[0, 0], [2, 1]]
    """
    if torch.jit.is_scripting():
        return _scripted(x, y, k, math.inf, batch_x, batch_y, batch_size, False, cosine, True)
    else:
        clouds = _clouds(batch_size, batch_x, batch_y)
        return _nearest(
            x, y, k, batch_x, batch_y, clouds, False, cosine, num_workers, backend, strict, True
        )


def knn_graph(
    x: Tensor,
    k: int,
    batch: Tensor | None = None,
    loop: bool = False,
    flow: str = "source_to_target",
    cosine: bool = False,
    num_workers: int | None = 1,
    batch_size: int | None = None,
    backend: str = "auto",
    strict: bool = False,
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
        num_workers: As in :func:`knn`.
        batch_size: Number of clouds, where the last ones may be empty.
        backend: As in :func:`knn`.
        strict: Refuse clouds where a point has fewer than ``k`` neighbours.

    Returns:
        edge_index, int64 ``[2, E]``, :math:`E = N k` where all clouds have enough points.

    Raises:
        DataError: A coordinate is not finite, or with ``strict`` a cloud has too few points.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import knn_graph
        >>> x = torch.tensor([[0.0], [1.0], [5.0]])
        >>> knn_graph(x, k=1).tolist()  # from neighbours 1, 0, 1 to nodes 0, 1, 2
        [[1, 0, 1], [0, 1, 2]]
        >>> knn_graph(torch.rand(4, 100, 3), k=10).shape  # four clouds, 10 edges a point
        torch.Size([2, 4000])
    """
    if torch.jit.is_scripting():
        nodes_first = flow == "target_to_source"
        return _scripted(x, x, k, math.inf, batch, batch, batch_size, not loop, cosine, nodes_first)
    else:
        x, batch, clouds = _one_graph(x, batch, batch_size, flow)
        return _nearest(
            x, x, k, batch, batch, clouds, not loop, cosine, num_workers, backend, strict,
            flow == "target_to_source",
        )  # fmt: skip


def radius(
    x: Tensor,
    y: Tensor,
    r: float,
    batch_x: Tensor | None = None,
    batch_y: Tensor | None = None,
    max_num_neighbors: int | None = 32,
    num_workers: int | None = 1,
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
        max_num_neighbors: Most neighbours of a point; None for all of them.
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
    if torch.jit.is_scripting():
        most = x.size(0) if max_num_neighbors is None else max_num_neighbors
        return _scripted(x, y, most, r, batch_x, batch_y, batch_size, False, False, True)
    else:
        clouds = _clouds(batch_size, batch_x, batch_y)
        return _within(
            x, y, r, batch_x, batch_y, clouds, False, max_num_neighbors, num_workers, backend, True
        )


def radius_graph(
    x: Tensor,
    r: float,
    batch: Tensor | None = None,
    loop: bool = False,
    max_num_neighbors: int | None = 32,
    flow: str = "source_to_target",
    num_workers: int | None = 1,
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
        max_num_neighbors: Most neighbours of a point; None for all of them.
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
    if torch.jit.is_scripting():
        nodes_first = flow == "target_to_source"
        most = x.size(0) if max_num_neighbors is None else max_num_neighbors
        return _scripted(x, x, most, r, batch, batch, batch_size, not loop, False, nodes_first)
    else:
        x, batch, clouds = _one_graph(x, batch, batch_size, flow)
        return _within(
            x, x, r, batch, batch, clouds, not loop, max_num_neighbors, num_workers, backend,
            flow == "target_to_source",
        )  # fmt: skip


def _nearest(
    x: Tensor,
    y: Tensor,
    k: int,
    batch_x: Tensor | None,
    batch_y: Tensor | None,
    clouds: int,
    own: bool,
    cosine: bool,
    num_workers: int | None,
    backend: str,
    strict: bool,
    nodes_first: bool,
) -> Tensor:
    """The edges to the ``k`` nearest points, or to all where there are fewer."""
    rest = {"own": own, "cosine": cosine, "workers": _threads(num_workers), "backend": backend}
    try:
        table = neighbor_table(x, y, k, batch_x, batch_y, clouds, **rest)
    except TooFewPoints:
        if strict:
            raise
        table = neighbor_table(x, y, k, batch_x, batch_y, clouds, math.inf, **rest)
        return _those_there(table, nodes_first)
    return _pairs(table, nodes_first)


def _within(
    x: Tensor,
    y: Tensor,
    r: float,
    batch_x: Tensor | None,
    batch_y: Tensor | None,
    clouds: int,
    own: bool,
    most: int | None,
    num_workers: int | None,
    backend: str,
    nodes_first: bool,
) -> Tensor:
    """The edges to the points within ``r``, at most ``most`` of a node."""
    width = min(32, x.size(0)) if most is None else most
    while True:
        table = neighbor_table(
            x, y, max(width, 1) if most is None else width, batch_x, batch_y, clouds, r, own,
            workers=_threads(num_workers), backend=backend,
        )  # fmt: skip
        if most is not None or width >= x.size(0) or not bool((table[:, -1] >= 0).any()):
            return _those_there(table, nodes_first)
        width = min(4 * width, x.size(0))  # some node may have more


def _scripted(
    x: Tensor,
    y: Tensor,
    k: int,
    r: float,
    batch_x: Tensor | None,
    batch_y: Tensor | None,
    batch_size: int | None,
    own: bool,
    cosine: bool,
    nodes_first: bool,
) -> Tensor:
    """All of it in TorchScript's language, which knows the registered operator alone."""
    clouds = 1
    if batch_size is not None and (batch_x is not None or batch_y is not None):
        clouds = max(batch_size, 1)
    table = torch.ops.mgic_geo.neighbor_table(x, y, k, batch_x, batch_y, clouds, r, own, cosine)
    nodes = torch.arange(table.size(0), device=table.device).unsqueeze(-1).expand_as(table)
    edges = torch.stack([nodes, table] if nodes_first else [table, nodes]).flatten(1)
    return edges[:, (table >= 0).flatten()]


def _one_graph(
    x: Tensor, batch: Tensor | None, batch_size: int | None, flow: str
) -> tuple[Tensor, Tensor | None, int]:
    """Points ``[N, D]``, the cloud of each, and how many clouds there are."""
    if flow not in ("source_to_target", "target_to_source"):
        raise FlowError(f"flow = {flow!r}: use 'source_to_target' or 'target_to_source'")
    if batch is not None and batch.device != x.device:
        warnings.warn(f"batch lies on {batch.device}, x on {x.device}: copied", stacklevel=3)
        batch = batch.to(x.device)
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
