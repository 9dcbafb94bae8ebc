"""Nearest-neighbour searches behind one signature.

Each takes reference points ``x`` ``[N, D]``, queries ``y`` ``[M, D]`` and row pointers of their
clouds (lists of ints) and returns the index table ``[M, k]`` into ``x``, nearest first. There is a
query at least, and every cloud with queries has ``k`` points or more; the caller has seen to that.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

# Distances held at once by the dense search: 2^25 float32 are 128 MiB.
_DENSE_CHUNK = 2**25
# Above about this many dimensions a KD-tree visits nearly every point.
KDTREE_MAX_DIM = 8

Search = Callable[[Tensor, Tensor, Sequence[int], Sequence[int], int, int], Tensor]


@functools.cache
def has_torch_cluster() -> bool:
    try:
        import torch_cluster  # noqa: F401
    except (ImportError, OSError, RuntimeError):  # missing, or built for another torch
        return False
    return True


def has_pyg_lib() -> bool:
    return importlib.util.find_spec("pyg_lib") is not None and hasattr(torch.ops.pyg, "knn")


def kdtree(
    x: Tensor, y: Tensor, ptr_x: Sequence[int], ptr_y: Sequence[int], k: int, workers: int
) -> Tensor:
    """SciPy's KD-tree, a tree a cloud."""
    from scipy.spatial import cKDTree

    a, b = x.detach().numpy(), y.detach().numpy()
    table = np.empty((b.shape[0], k), np.int64)
    for i in range(len(ptr_x) - 1):
        cloud = slice(ptr_x[i], ptr_x[i + 1])
        query = slice(ptr_y[i], ptr_y[i + 1])
        found = cKDTree(a[cloud]).query(b[query], k, workers=workers)[1]
        table[query] = found.reshape(-1, k) + ptr_x[i]
    return torch.from_numpy(table)


def dense(
    x: Tensor, y: Tensor, ptr_x: Sequence[int], ptr_y: Sequence[int], k: int, workers: int
) -> Tensor:
    """All distances and ``topk``: batched over clouds of one size, in chunks of bounded memory."""
    sizes_x, sizes_y = np.diff(ptr_x), np.diff(ptr_y)
    if sizes_x.size and (sizes_x == sizes_x[0]).all() and (sizes_y == sizes_y[0]).all():
        clouds = (
            x.view(len(sizes_x), int(sizes_x[0]), -1),
            y.view(len(sizes_y), int(sizes_y[0]), -1),
        )
        start = torch.as_tensor(ptr_x[:-1], device=x.device).view(-1, 1, 1)
        return (_dense_batch(*clouds, k) + start).view(-1, k)
    tables = [
        _dense_batch(x[None, ptr_x[i] : ptr_x[i + 1]], y[None, ptr_y[i] : ptr_y[i + 1]], k)[0]
        + ptr_x[i]
        for i in range(len(ptr_x) - 1)
        if ptr_y[i] < ptr_y[i + 1]
    ]
    return torch.cat(tables)


def _dense_batch(x: Tensor, y: Tensor, k: int) -> Tensor:
    # The expansion |x|^2 - 2 x y + |y|^2 loses the small distances, which are the ones that count.
    mode = (
        "donot_use_mm_for_euclid_dist"
        if x.size(-1) <= KDTREE_MAX_DIM
        else ("use_mm_for_euclid_dist_if_necessary")
    )
    rows = max(_DENSE_CHUNK // max(x.size(0) * x.size(1), 1), 1)
    return torch.cat(
        [
            torch.cdist(part, x, compute_mode=mode).topk(k, largest=False, sorted=True).indices
            for part in y.split(rows, dim=1)
        ],
        dim=1,
    )


def torch_cluster(
    x: Tensor, y: Tensor, ptr_x: Sequence[int], ptr_y: Sequence[int], k: int, workers: int
) -> Tensor:
    """torch-cluster's search, called past PyG, which ignores it."""
    import torch_cluster

    found = torch_cluster.knn(x, y, k, _batch(ptr_x, x), _batch(ptr_y, y), num_workers=workers)
    return found[1].view(-1, k)


def pyg_lib(
    x: Tensor, y: Tensor, ptr_x: Sequence[int], ptr_y: Sequence[int], k: int, workers: int
) -> Tensor:
    """pyg-lib's search."""
    ptrs = (torch.as_tensor(ptr, device=x.device) for ptr in (ptr_x, ptr_y))
    found: Tensor = torch.ops.pyg.knn(x, y, *ptrs, k, False, workers)
    return found[1].view(-1, k)


def _batch(ptr: Sequence[int], like: Tensor) -> Tensor:
    sizes = torch.as_tensor(ptr, device=like.device).diff()
    return torch.repeat_interleave(torch.arange(len(ptr) - 1, device=like.device), sizes)


SEARCHES: dict[str, Search] = {
    "pyg_lib": pyg_lib,
    "torch_cluster": torch_cluster,
    "kdtree": kdtree,
    "dense": dense,
}
