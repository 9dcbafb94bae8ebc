from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.graph import DifferentialOperators, differential_operators, knn_graph
from mgic_geo.kernels import diff_conv
from mgic_geo.kernels.derivatives.least_squares import RIDGE
from mgic_geo.models import PointClassifier, create_model
from mgic_geo.nn import DiffGCNConv
from mgic_geo.testing import random_clouds

K = 8


def derivatives(operators: DifferentialOperators, f: Tensor) -> Tensor:
    """The six derivatives of a function, ``[N, 6]``, by the operator of the layers."""
    pick = torch.eye(7, dtype=f.dtype)[1:, None, :].movedim(0, -1).reshape(1, 1, 7, 6)
    return diff_conv(f[:, None], pick.movedim(1, 2), *operators)


def fit_alone(pos: Tensor, f: Tensor, node: int, neighbors: Tensor) -> Tensor:
    """The formulas for one node, by a solver."""
    offset, delta = pos[neighbors] - pos[node], f[neighbors] - f[node]
    u = offset / offset.square().sum(dim=1).mean().sqrt()
    weight = (-u.square().sum(dim=1)).exp()
    weight = weight / weight.sum()
    moments = (u.T * weight) @ u
    system = moments + RIDGE * moments.trace() * torch.eye(3, dtype=u.dtype)
    gradient = torch.linalg.solve(system, (u.T * weight) @ delta)
    rest = weight * (delta - u @ gradient)
    cosines = torch.nn.functional.normalize(u, dim=1).square()
    return torch.cat([gradient, cosines.T @ rest])


def test_equal_the_formulas() -> None:
    pos, batch = random_clouds(2, 40, 0, torch.float64, ragged=True)
    f = torch.randn(len(pos), dtype=torch.float64)
    edge_index = knn_graph(pos, K, batch)
    found = derivatives(differential_operators(pos, edge_index, "least_squares"), f)
    for node, neighbors in enumerate(edge_index[0].view(-1, K)):
        torch.testing.assert_close(found[node], fit_alone(pos, f, node, neighbors))


def errors(fit: str) -> tuple[float, float]:
    """Of a linear function on scattered points of a plane, relative to its slope.

    Returns:
        The spread of the first and of the second derivatives over the points.
    """
    pos, _ = random_clouds(1, 400, 0, torch.float64)
    pos[:, 2] = 0.0
    edge_index = knn_graph(pos, K)
    length = (pos[edge_index[0]] - pos[edge_index[1]]).square().sum(dim=1).view(-1, K)
    found = derivatives(differential_operators(pos, edge_index, fit), pos[:, 0])
    found = found / length.mean(dim=1).sqrt()[:, None]
    return float(found[:, 0].std() / found[:, 0].mean()), float(found[:, 3].std())


def test_linear_functions_have_their_slope_however_the_neighbours_lie() -> None:
    first, second = errors("least_squares")
    assert first < 0.05
    assert second < 0.02
    # what it is for: averages along the edges see where the neighbours lie
    first, second = errors("average")
    assert first > 0.25
    assert second > 0.1


def test_loops_and_coincident_neighbours_take_no_part() -> None:
    pos, batch = random_clouds(1, 20, dtype=torch.float64)
    looped = differential_operators(pos, knn_graph(pos, K + 1, batch, loop=True), "least_squares")
    plain = differential_operators(pos, knn_graph(pos, K, batch), "least_squares")
    torch.testing.assert_close(derivatives(looped, pos[:, 1]), derivatives(plain, pos[:, 1]))
    # the first node sees its copy as well
    pos = torch.cat([pos, pos[:1]])
    edge_index = torch.cat([knn_graph(pos[:-1], K), torch.tensor([[20], [0]])], dim=1)
    copied = differential_operators(pos, edge_index, "least_squares")
    torch.testing.assert_close(derivatives(copied, pos[:, 1])[:-1], derivatives(plain, pos[:-1, 1]))


def test_layers_and_models_take_it() -> None:
    pos = torch.rand(2, 40, 3)
    layer = DiffGCNConv(4, 8, fit="least_squares")
    x, edge_index = torch.randn(80, 4), knn_graph(pos, K)
    operators = differential_operators(pos.view(-1, 3), edge_index, "least_squares")
    assert torch.equal(layer(x, pos.view(-1, 3), edge_index), layer(x, operators))
    model = create_model("mgic_diffgcn", fit="least_squares", k=K)
    assert isinstance(model, PointClassifier)
    prepared = model.prepare(pos)
    assert isinstance(prepared, DifferentialOperators)
    assert torch.equal(prepared.weight, operators.weight)


def test_wrong_input_is_named() -> None:
    pos = torch.rand(20, 3)
    for make in (
        lambda: differential_operators(pos, knn_graph(pos, 4), "cubic"),
        lambda: DiffGCNConv(4, 4, fit="cubic"),
        lambda: create_model("diffgcn", fit="cubic"),
    ):
        with pytest.raises(ValueError, match="fit = 'cubic': use one of"):
            make()
    with pytest.raises(DataError, match="coincide"):
        differential_operators(pos * 0.0, knn_graph(pos, 4), "least_squares")
