"""Nearest-neighbour searches behind one signature.

Each takes reference points ``x`` ``[N, D]``, queries ``y`` ``[M, D]`` and row pointers of their
clouds (lists of ints) and returns the index table ``[M, k]`` into ``x``, nearest first. With
``own``, ``y`` is ``x`` and no point is its own neighbour. There is a query at least, and every
cloud with queries has ``k`` points or more to find; the caller has seen to that.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels import dispatch
from mgic_geo.kernels.cpu.threads import run_all
from mgic_geo.kernels.neighbors.reference import nearest

# Distances held at once by the dense search: 2^25 float32 are 128 MiB.
_DENSE_CHUNK = 2**25
# Queries of SciPy's tree at once: it returns 16 bytes for each neighbour.
_KDTREE_CHUNK = 2**16

Search = Callable[[Tensor, Tensor, Sequence[int], Sequence[int], int, int, bool], Tensor]


@functools.cache
def has_torch_cluster(device_type: str = "cpu") -> bool:
    """Whether torch-cluster is here, and was built for tensors of this kind of device."""
    try:
        import torch_cluster  # noqa: F401
    except (ImportError, OSError, RuntimeError):  # missing, or built for another torch
        return False
    return _built_for(device_type, "torch_cluster")


@functools.cache
def has_pyg_lib(device_type: str = "cpu") -> bool:
    """Whether pyg-lib is here, and was built for tensors of this kind of device."""
    try:
        import pyg_lib  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        return False
    return hasattr(torch.ops.pyg, "knn") and _built_for(device_type, "pyg")


def _built_for(device_type: str, library: str) -> bool:
    """Both libraries say which CUDA they were built with, -1 for none: a build for the CPU imports
    on a machine with a GPU all the same, and fails at the first call."""
    if device_type == "cpu":
        return True
    version = getattr(getattr(torch.ops, library), "cuda_version", None)
    return device_type == "cuda" and version is not None and version() > 0


def has_compiled() -> bool:
    return dispatch.has_loops()


def _then_drop_self(
    search: Callable[[Tensor, Tensor, Sequence[int], Sequence[int], int, int], Tensor],
) -> Search:
    """Adds ``own`` to a search that finds each point itself, too."""

    @functools.wraps(search)
    def wrapped(
        x: Tensor,
        y: Tensor,
        ptr_x: Sequence[int],
        ptr_y: Sequence[int],
        k: int,
        workers: int,
        own: bool,
    ) -> Tensor:
        table = search(x, y, ptr_x, ptr_y, k + own, workers)
        if not own:
            return table
        itself = table == torch.arange(y.size(0), device=y.device).unsqueeze(-1)
        # Coincident points may have hidden it; then the farthest one goes.
        itself[:, -1] |= ~itself.any(dim=1)
        return table[~itself].view(-1, k)

    return wrapped


def compiled(
    x: Tensor,
    y: Tensor,
    ptr_x: Sequence[int],
    ptr_y: Sequence[int],
    k: int,
    workers: int,
    own: bool,
    radius: float = math.inf,
) -> Tensor:
    """Our own KD-trees; memory beside the result: about twice that of the points.

    With a ``radius`` only points up to so far count; -1 where there are fewer than ``k``.
    """
    from mgic_geo.kernels.neighbors.search import neighbor_table

    # NumPy from here on: the threads of a torch operation wait for the next one at full speed, and
    # would keep ours from their cores.
    dtype = torch.float64 if torch.float64 in (x.dtype, y.dtype) else torch.float32
    a, b = x.to(dtype).numpy(), y.to(dtype).numpy()
    # To about 1, so that no square overflows or vanishes; by a power of 2, which rounds nothing.
    largest = max(abs(float(end)) for points in (a, b) for end in (points.min(), points.max()))
    scale = a.dtype.type(2.0 ** min(max(-math.frexp(largest)[1], -120), 120))
    table = neighbor_table(
        np.multiply(a, scale, order="C"),
        None if own else np.multiply(b, scale, order="C"),
        np.asarray(ptr_x, np.int64),
        np.asarray(ptr_y, np.int64),
        k,
        workers,
        radius * float(scale),
    )
    return torch.from_numpy(table)


@_then_drop_self
def kdtree(
    x: Tensor, y: Tensor, ptr_x: Sequence[int], ptr_y: Sequence[int], k: int, workers: int
) -> Tensor:
    """SciPy's KD-tree, a tree a cloud."""
    from scipy.spatial import cKDTree

    a, b = x.detach().numpy(), y.detach().numpy()
    table = np.empty((b.shape[0], k), np.int64)

    def search(i: int, threads: int) -> None:
        tree = cKDTree(a[ptr_x[i] : ptr_x[i + 1]], balanced_tree=False)
        rows = np.arange(ptr_y[i], ptr_y[i + 1])
        if len(rows) > _KDTREE_CHUNK:
            # Queries near each other one after another, so that they meet in the cache.
            rows = ptr_y[i] + (tree if y is x else cKDTree(b[rows], balanced_tree=False)).indices
        for start in range(0, len(rows), _KDTREE_CHUNK):
            part = rows[start : start + _KDTREE_CHUNK]
            table[part] = tree.query(b[part], k, workers=threads)[1].reshape(-1, k) + ptr_x[i]

    clouds = [i for i in range(len(ptr_x) - 1) if ptr_y[i] < ptr_y[i + 1]]
    shared = len(clouds) >= workers  # the clouds, or else the queries of each
    threads = 1 if shared else workers
    run_all(search, [(i, threads) for i in clouds], workers if shared else 1)
    return torch.from_numpy(table)


@_then_drop_self
def dense(
    x: Tensor, y: Tensor, ptr_x: Sequence[int], ptr_y: Sequence[int], k: int, workers: int
) -> Tensor:
    """All distances and ``topk``: batched over clouds of one size, in chunks of bounded memory."""
    count = len(ptr_x) - 1
    sizes = {(ptr_x[i + 1] - ptr_x[i], ptr_y[i + 1] - ptr_y[i]) for i in range(count)}
    if len(sizes) == 1:
        size_x, size_y = sizes.pop()
        clouds = x.view(count, size_x, -1), y.view(count, size_y, -1)
        start = torch.as_tensor(ptr_x[:-1], device=x.device).view(-1, 1, 1)
        return (_in_chunks(*clouds, k) + start).view(-1, k)
    tables = [
        _in_chunks(x[None, ptr_x[i] : ptr_x[i + 1]], y[None, ptr_y[i] : ptr_y[i + 1]], k)[0]
        + ptr_x[i]
        for i in range(count)
        if ptr_y[i] < ptr_y[i + 1]
    ]
    return torch.cat(tables)


def dense_within(
    x: Tensor,
    y: Tensor,
    ptr_x: Sequence[int],
    ptr_y: Sequence[int],
    k: int,
    radius: float,
    own: bool,
) -> Tensor:
    """:func:`dense`, of neighbours up to ``radius``; -1 where there are fewer than ``k``."""
    table = torch.full((y.size(0), k), -1, device=y.device)
    for start, stop, low, high in zip(ptr_x[:-1], ptr_x[1:], ptr_y[:-1], ptr_y[1:]):
        most = min(k, stop - start)
        rows = max(_DENSE_CHUNK // max(stop - start, 1), 1)
        for first in range(low, high if most else low, rows):
            part = slice(first, min(first + rows, high))
            found, distance = nearest(
                x[None, start:stop], y[None, part], most, own_row=first - start if own else None
            )
            there = (distance[0] <= radius) & distance[0].isfinite()
            table[part, :most] = torch.where(there, found[0] + start, -1)
    return table


def _in_chunks(x: Tensor, y: Tensor, k: int) -> Tensor:
    rows = max(_DENSE_CHUNK // max(x.size(0) * x.size(1), 1), 1)
    return torch.cat([nearest(x, part, k)[0] for part in y.split(rows, dim=1)], dim=1)


@_then_drop_self
def torch_cluster(
    x: Tensor, y: Tensor, ptr_x: Sequence[int], ptr_y: Sequence[int], k: int, workers: int
) -> Tensor:
    """torch-cluster's search, called past PyG, which ignores it."""
    import torch_cluster

    found = torch_cluster.knn(
        x, y, k, *(cloud_of_points(ptr, x.device) for ptr in (ptr_x, ptr_y)), num_workers=workers
    )
    return found[1].view(-1, k)


@_then_drop_self
def pyg_lib(
    x: Tensor, y: Tensor, ptr_x: Sequence[int], ptr_y: Sequence[int], k: int, workers: int
) -> Tensor:
    """pyg-lib's search."""
    ptrs = (torch.as_tensor(ptr, device=x.device) for ptr in (ptr_x, ptr_y))
    found: Tensor = torch.ops.pyg.knn(x, y, *ptrs, k, False, workers)
    return found[1].view(-1, k)


def cloud_of_points(ptr: Sequence[int], device: torch.device) -> Tensor:
    """The cloud of each point, from the first points of the clouds."""
    sizes = torch.as_tensor(ptr, device=device).diff()
    return torch.repeat_interleave(torch.arange(len(ptr) - 1, device=device), sizes)


# Best first for static points.
SEARCHES: dict[str, Search] = {
    "compiled": compiled,
    "pyg_lib": pyg_lib,
    "torch_cluster": torch_cluster,
    "kdtree": kdtree,
    "dense": dense,
}
