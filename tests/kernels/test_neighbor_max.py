from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mgic_geo.kernels import dispatch, neighbor_max


def slow(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    best = x.new_zeros(len(rowptr) - 1, x.size(1))
    who = torch.full(best.shape, -1, dtype=torch.int32)
    for i, (start, stop) in enumerate(zip(rowptr[:-1].tolist(), rowptr[1:].tolist())):
        for c in range(x.size(1)):
            for e in range(start, stop):
                if who[i, c] < 0 or x[int(col[e]), c] > best[i, c]:
                    best[i, c], who[i, c] = x[int(col[e]), c], col[e]
    return best, who


def graph(nodes: int, edges: int) -> tuple[Tensor, Tensor]:
    target = torch.randint(0, nodes, (edges,)).sort().values
    target = target[target % 4 != 1]  # some nodes have no neighbours
    degree = torch.bincount(target, minlength=nodes)
    rowptr = torch.cat([torch.zeros(1, dtype=torch.long), degree.cumsum(0)]).int()
    return rowptr, torch.randint(0, nodes, (len(target),), dtype=torch.int32)


@pytest.fixture(params=["compiled", "plain"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plain":
        monkeypatch.setattr(dispatch, "COMPILED", False)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(("nodes", "edges"), [(70, 400), (9, 20), (5, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_slow_loop(nodes: int, edges: int, dtype: torch.dtype) -> None:
    rowptr, col = graph(nodes, edges)
    x = torch.randint(-3, 3, (nodes, 5)).to(dtype)  # with ties: the first among equals
    found, expected = neighbor_max(x, rowptr, col), slow(x, rowptr, col)
    assert all(torch.equal(a, b) for a, b in zip(found, expected))
    assert found[1].dtype == torch.int32


@pytest.mark.usefixtures("path")
def test_gradient_goes_to_the_maximum_alone() -> None:
    rowptr, col = graph(12, 50)
    x = torch.randn(12, 3, dtype=torch.float64, requires_grad=True)
    best, who = neighbor_max(x, rowptr, col)
    grad = torch.randn_like(best)
    expected = torch.zeros_like(x)
    for (i, c), j in zip(torch.cartesian_prod(torch.arange(12), torch.arange(3)), who.flatten()):
        if j >= 0:
            expected[j, c] += grad[i, c]
    torch.testing.assert_close(torch.autograd.grad((best * grad).sum(), x)[0], expected)
    assert torch.autograd.gradcheck(lambda x: neighbor_max(x, rowptr, col)[0], x)


@pytest.mark.usefixtures("path")
def test_nan_stays_visible() -> None:
    rowptr = torch.tensor([0, 3, 5], dtype=torch.int32)
    col = torch.tensor([0, 1, 2, 0, 2], dtype=torch.int32)
    for node in range(3):
        x = torch.randn(3, 2)
        x[node, 0] = float("nan")
        best = neighbor_max(x, rowptr, col)[0]
        assert best.isnan().tolist() == [[True, False], [node != 1, False]]


def test_registration_is_sound() -> None:
    rowptr, col = graph(12, 50)
    x = torch.randn(12, 3, requires_grad=True)
    torch.library.opcheck(neighbor_max.op, (x, rowptr, col))
