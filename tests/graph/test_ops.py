"""What the extra ``ops`` brings, and ours beside it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mgic_geo.graph import available_backends, fps, knn_graph, radius
from mgic_geo.kernels import neighbor_max
from mgic_geo.kernels.rows import row_pointers
from mgic_geo.testing import random_clouds

HINT = "is not installed: pip install --no-build-isolation -c constraints.txt -e '.[ops]'"
torch_cluster = pytest.importorskip("torch_cluster", reason=f"torch-cluster {HINT}")
torch_scatter = pytest.importorskip("torch_scatter", reason=f"torch-scatter {HINT}")


def edges(edge_index: Tensor) -> set[tuple[int, int]]:
    return set(zip(*edge_index.tolist()))


def test_torch_cluster_is_a_backend_of_tensors_that_it_was_built_for() -> None:
    assert "torch_cluster" in available_backends()
    built = torch.ops.torch_cluster.cuda_version() > 0
    assert ("torch_cluster" in available_backends("cuda")) == built


@pytest.mark.parametrize("dims", [2, 3, 20])
@pytest.mark.parametrize("loop", [False, True])
def test_neighbors_are_those_of_torch_cluster(dims: int, loop: bool) -> None:
    _, batch = random_clouds(3, 20, ragged=True)
    pos = torch.randn(len(batch), dims)
    theirs = torch_cluster.knn_graph(pos, 5, batch, loop)
    assert torch.equal(knn_graph(pos, 5, batch, loop, backend="torch_cluster"), theirs)
    assert edges(knn_graph(pos, 5, batch, loop)) == edges(theirs)
    small = torch_cluster.knn_graph(pos, 40, batch, loop)  # more than a cloud has
    assert edges(knn_graph(pos, 40, batch, loop)) == edges(small)
    within = torch_cluster.radius(pos, pos, 1.5, batch, batch, 100)
    assert edges(radius(pos, pos, 1.5, batch, batch, 100)) == edges(within)


@pytest.mark.parametrize("ratio", [0.1, 0.25, 0.7, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_are_those_of_torch_cluster(ratio: float, dtype: torch.dtype) -> None:
    pos, batch = random_clouds(3, 30, dtype=dtype, ragged=True)
    theirs = torch_cluster.fps(pos, batch, ratio, random_start=False)
    assert torch.equal(fps(pos, batch, ratio, random_start=False), theirs)


def test_the_maximum_over_neighbors_is_that_of_torch_scatter() -> None:
    x = torch.randn(20, 6, requires_grad=True)
    target, source = torch.randint(0, 20, (2, 90))
    target = target.sort().values
    rowptr, col = row_pointers(target, 20), source.int()
    ours, _ = neighbor_max(x, rowptr, col)
    theirs, _ = torch_scatter.scatter_max(x[source], target, dim=0, dim_size=20)
    there = torch.bincount(target, minlength=20) > 0
    torch.testing.assert_close(ours[there], theirs[there])
    torch.testing.assert_close(
        *(torch.autograd.grad(y[there].square().sum(), x)[0] for y in (ours, theirs))
    )
