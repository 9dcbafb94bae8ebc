from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.graph import DifferentialOperators, differential_operators, knn_graph
from mgic_geo.kernels.derivatives import FITS
from mgic_geo.kernels.derivatives.least_squares import RIDGE
from mgic_geo.nn import MGIC, DiffGCNConv, GraphBlock

NODES, K = 24, 6
in_each = pytest.mark.parametrize("dims", [1, 2, 3, 4])
by_each = pytest.mark.parametrize("fit", FITS)


def cloud(dims: int) -> tuple[Tensor, Tensor]:
    pos = torch.randn(NODES, dims, dtype=torch.float64)
    return pos, knn_graph(pos, K)


def matrices(operators: DifferentialOperators) -> Tensor:
    """The operators as dense matrices, ``[2 d, N, N]``."""
    dense = torch.zeros(operators.weight.size(1), NODES, NODES, dtype=torch.float64)
    for i in range(NODES):
        for e in range(int(operators.rowptr[i]), int(operators.rowptr[i + 1])):
            dense[:, i, int(operators.col[e])] += operators.weight[e]
    return dense


def slow_derivatives(fit: str, pos: Tensor, edge_index: Tensor, f: Tensor) -> Tensor:
    """First and second derivatives of ``f [N]``, ``[N, 2 d]``, node by node as they are defined."""
    rows = []
    for i in range(NODES):
        near = edge_index[0, edge_index[1] == i]
        offset, change = pos[near] - pos[i], f[near] - f[i]
        unit = offset / offset.norm(dim=1, keepdim=True)
        if fit == "average":
            first, weight, rest = unit.T @ change / len(near), torch.ones(len(near)), change
            weight = weight.double() / len(near)
        else:
            u = offset / offset.square().sum(dim=1).mean().sqrt()
            weight = (-u.square().sum(dim=1)).exp()
            weight = weight / weight.sum()
            moments = u.T @ torch.diag(weight) @ u
            system = moments + RIDGE * moments.trace() * torch.eye(pos.size(1)).double()
            first = torch.linalg.solve(system, u.T @ (weight * change))
            rest = change - u @ first
        rows.append(torch.cat([first, (unit.square() * (weight * rest)[:, None]).sum(dim=0)]))
    return torch.stack(rows)


@in_each
@by_each
def test_operators_are_as_defined(fit: str, dims: int) -> None:
    pos, edge_index = cloud(dims)
    f = torch.randn(NODES, dtype=torch.float64)
    operators = differential_operators(pos, edge_index, fit)
    assert operators.dims == dims
    expected = slow_derivatives(fit, pos, edge_index, f)
    torch.testing.assert_close(matrices(operators) @ f, expected.T)


@in_each
@by_each
def test_the_gradient_turns_with_the_points_and_the_laplacian_stays(fit: str, dims: int) -> None:
    pos, edge_index = cloud(dims)
    turn, _ = torch.linalg.qr(torch.randn(dims, dims, dtype=torch.float64))
    before, after = (
        matrices(differential_operators(p, edge_index, fit))
        for p in (pos, 3.0 * pos @ turn.T + 5.0)
    )
    torch.testing.assert_close(
        after[:dims], torch.einsum("ab,bij->aij", turn, before[:dims]), rtol=1e-6, atol=1e-8
    )
    torch.testing.assert_close(after[dims:].sum(0), before[dims:].sum(0), rtol=1e-6, atol=1e-8)


@in_each
@by_each
def test_the_layer_mixes_two_d_plus_one_terms(fit: str, dims: int) -> None:
    pos, edge_index = cloud(dims)
    x = torch.randn(NODES, 8, dtype=torch.float64)
    layer = DiffGCNConv(8, 12, groups=4, fit=fit, dims=dims).double()
    assert sum(p.numel() for p in layer.parameters()) == (2 * dims + 1) * 8 * 12 // 4 + 12
    terms = torch.stack(
        [x, *torch.stack([slow_derivatives(fit, pos, edge_index, c) for c in x.T]).permute(2, 1, 0)]
    )
    expected = torch.cat(
        [
            torch.einsum("tnc,tco->no", terms[:, :, 2 * g : 2 * g + 2], layer.weight[g])
            for g in range(4)
        ],
        dim=1,
    )
    torch.testing.assert_close(layer(x, pos, edge_index), expected + layer.bias)
    some = DiffGCNConv(8, 12, terms=("gradient",), dims=dims).double()
    assert some.weight.shape == (1, dims, 8, 12)
    expected = torch.einsum("tnc,tco->no", terms[1 : dims + 1], some.weight[0]) + some.bias
    if fit == "average":
        torch.testing.assert_close(some(x, pos, edge_index), expected)


@in_each
@by_each
def test_gradients_are_right(fit: str, dims: int) -> None:
    pos, edge_index = cloud(dims)
    layer = DiffGCNConv(2, 2, fit=fit, dims=dims).double()
    x = torch.randn(NODES, 2, dtype=torch.float64)
    inputs = (x.requires_grad_(), pos.requires_grad_(), layer.weight)
    assert torch.autograd.gradcheck(
        lambda x, pos, _: layer(x, pos, edge_index), inputs, fast_mode=True
    )


@in_each
@pytest.mark.parametrize("training", [True, False])
def test_hierarchies_of_them_learn(dims: int, training: bool) -> None:
    pos, edge_index = cloud(dims)
    graph = differential_operators(pos.float(), edge_index)

    def relaxation(channels: int, groups: int) -> nn.Module:
        conv = DiffGCNConv(channels, channels, groups, bias=False, dims=dims)
        return GraphBlock(conv, channels, residual=True)

    layer = MGIC(relaxation, 32, 8, 8).train(training)
    x = torch.randn(NODES, 32, requires_grad=True)
    layer(x, graph).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_wrong_numbers_of_dimensions_are_named() -> None:
    pos, edge_index = cloud(2)
    x = torch.randn(NODES, 4)
    with pytest.raises(ValueError, match="in 2 dimensions, and the layer has dims = 3"):
        DiffGCNConv(4, 4)(x, pos.float(), edge_index)
    with pytest.raises(ValueError, match="dims = 0: it must be at least 1"):
        DiffGCNConv(4, 4, dims=0)
    with pytest.raises(ValueError, match=r"pos must be \[N, d\], got \[24, 0\]"):
        differential_operators(pos[:, :0], edge_index)
