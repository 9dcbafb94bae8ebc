"""k-nearest-neighbour graphs that need no compiled extension."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.graph import _backends


def available_backends(device: str | torch.device = "cpu") -> list[str]:
    """The ``backend`` names of :func:`knn` that work here, best first for static points."""
    on_cpu = torch.device(device).type == "cpu"
    usable = {
        "compiled": on_cpu and _backends.has_compiled(),
        "pyg_lib": _backends.has_pyg_lib(),
        "torch_cluster": _backends.has_torch_cluster(),
        "kdtree": on_cpu,
        "dense": True,
    }
    return [name for name, works in usable.items() if works]


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
    """
    last = [int(batch.max()) for batch in (batch_x, batch_y) if batch is not None and len(batch)]
    batch_size = max([batch_size or 1, *(cloud + 1 for cloud in last)])
    ptr_x = _pointers(batch_x, x.size(0), batch_size)
    ptr_y = _pointers(batch_y, y.size(0), batch_size)
    table = _search(x, y, ptr_x, ptr_y, k, cosine, num_workers, backend)
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
    """
    if flow not in ("source_to_target", "target_to_source"):
        raise ValueError(f"flow = {flow!r}: use 'source_to_target' or 'target_to_source'")
    if x.dim() == 3:
        # no range: Dynamo cannot count one whose bounds are symbols
        ptr: Sequence[int] = [cloud * x.size(1) for cloud in range(x.size(0) + 1)]
        x = x.flatten(0, 1)
    else:
        ptr = _pointers(batch, x.size(0), batch_size)
    table = _search(x, x, ptr, ptr, k, cosine, num_workers, backend, own=not loop)
    return _pairs(table, nodes_first=flow == "target_to_source")


def _pairs(table: Tensor, nodes_first: bool) -> Tensor:
    """The edges of each row of the table with what it holds, ``[2, M * k]``."""
    if table.device.type == "cpu" and not torch.compiler.is_compiling():
        # As in _backends.compiled: torch's threads would be in the way of the next search.
        edges = np.empty((2, *table.shape), np.int64)
        edges[int(nodes_first)] = table.numpy()
        edges[int(not nodes_first)] = np.arange(len(table))[:, None]
        return torch.from_numpy(edges).view(2, -1)
    nodes = torch.arange(table.size(0), device=table.device).unsqueeze(-1).expand_as(table)
    return torch.stack([nodes, table] if nodes_first else [table, nodes]).view(2, -1)


def _pointers(batch: Tensor | None, count: int, batch_size: int | None) -> Sequence[int]:
    if batch is None:
        return [0] + [count] * (batch_size or 1)
    if batch.numel() != count or bool((batch.diff() < 0).any()):
        raise DataError(
            f"batch has {batch.numel()} entries for {count} points, or is not sorted: "
            "give each point the number of its cloud, in ascending order"
        )
    sizes = torch.bincount(batch, minlength=batch_size or 0)
    pointers: list[int] = F.pad(sizes.cumsum(0), (1, 0)).tolist()
    return pointers


def _search(
    x: Tensor,
    y: Tensor,
    ptr_x: Sequence[int],
    ptr_y: Sequence[int],
    k: int,
    cosine: bool,
    num_workers: int | None,
    backend: str,
    own: bool = False,
) -> Tensor:
    if k < 1:
        raise ValueError(f"k = {k}: it must be at least 1")
    if num_workers is not None and num_workers < 1:
        raise ValueError(f"num_workers = {num_workers}: it must be at least 1")
    if x.dim() != 2 or y.dim() != 2:
        raise ValueError(f"points must be [N, D], got {list(x.shape)} and {list(y.shape)}")
    for i in range(len(ptr_x) - 1):
        size = ptr_x[i + 1] - ptr_x[i]
        if size < k + own and ptr_y[i + 1] > ptr_y[i]:
            raise DataError(
                f"cloud {i} has {size} points, k = {k} needs at least {k + own}: "
                f"use a smaller k or more points"
            )
    if not torch.compiler.is_compiling() and not (_finite(x) and (y is x or _finite(y))):
        raise DataError("points hold NaN or infinite coordinates: remove them first")
    same = y is x
    if cosine:
        # On unit vectors the Euclidean order is the cosine order.
        x = F.normalize(x, dim=-1)
        y = x if same else F.normalize(y, dim=-1)
    x = x.detach()
    y = x if same else y.detach()
    if not y.size(0):
        return torch.empty(0, k, dtype=torch.long, device=y.device)
    if backend == "auto":
        backend = _choose(x)
    elif backend not in _backends.SEARCHES:
        raise ValueError(f"backend = {backend!r}: use one of {['auto', *_backends.SEARCHES]}")
    elif backend not in available_backends(x.device):
        raise ValueError(f"backend = {backend!r} is not available here for {x.device.type} tensors")
    if num_workers is None:
        num_workers = 1 if torch.compiler.is_compiling() else torch.get_num_threads()
    return _backends.SEARCHES[backend](x, y, ptr_x, ptr_y, k, num_workers, own)


def _finite(points: Tensor) -> bool:
    if not points.numel():
        return True
    if points.device.type == "cpu" and points.dtype in (torch.float32, torch.float64):
        array = points.detach().numpy()  # wakes no threads, see _backends.compiled
        return bool(np.isfinite(array.min()) and np.isfinite(array.max()))
    return bool(torch.isfinite(torch.stack(points.aminmax())).all())


def _choose(x: Tensor) -> str:
    if torch.compiler.is_compiling():
        return "dense"  # the one that is traced into the graph and exported with it
    low = x.size(1) <= _backends.KDTREE_MAX_DIM
    trees = ("compiled", "kdtree")
    return next(name for name in available_backends(x.device) if low or name not in trees)
