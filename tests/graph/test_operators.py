from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.graph import (
    DifferentialOperators,
    Neighborhoods,
    differential_operators,
    knn_graph,
)
from mgic_geo.graph.operators import FITS
from mgic_geo.kernels import dispatch
from mgic_geo.kernels.derivatives.least_squares import RIDGE
from mgic_geo.testing import random_clouds

# Largest sums of absolute values of a row; of least squares 1 / sqrt(RIDGE) = 7.1.
BOUNDS = {"average": 2.0, "least_squares": RIDGE**-0.5}
any_fit = pytest.mark.parametrize("fit", FITS)
needs_compiled = pytest.mark.skipif(not dispatch.COMPILED, reason="no compiled kernels here")


def build(
    num_clouds: int = 2, ragged: bool = True, seed: int = 0, fit: str = "average"
) -> tuple[Tensor, Tensor, DifferentialOperators]:
    pos, batch = random_clouds(num_clouds, 30, seed, torch.float64, ragged)
    edge_index = knn_graph(pos, 6, batch)
    return pos, edge_index, differential_operators(pos, edge_index, fit)


def matrices(rowptr: Tensor, col: Tensor, weight: Tensor) -> Tensor:
    """The six operators as dense matrices."""
    nodes = len(rowptr) - 1
    dense = weight.new_zeros(6, nodes, nodes)
    for i in range(nodes):
        for e in range(int(rowptr[i]), int(rowptr[i + 1])):
            dense[:, i, int(col[e])] += weight[e]
    return dense


def test_equal_the_formulas() -> None:
    pos, edge_index, operators = build()
    expected = pos.new_zeros(6, len(pos), len(pos))
    for j, i in edge_index.T.tolist():
        unit = (pos[j] - pos[i]) / torch.linalg.vector_norm(pos[j] - pos[i])
        row = torch.cat([unit, unit**2]) / 6  # every node has six neighbours
        expected[:, i, j] += row
        expected[:, i, i] -= row
    torch.testing.assert_close(matrices(*operators[:3]), expected)


@any_fit
@pytest.mark.parametrize("compiled", [True, False])
def test_transposes_are_transposes(
    compiled: bool, fit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(dispatch, "COMPILED", False)
    *_, operators = build(fit=fit)
    assert torch.equal(matrices(*operators[3:]), matrices(*operators[:3]).transpose(1, 2))
    assert {t.dtype for t in operators} == {torch.int32, torch.float64}


def both_ways(
    pos: Tensor, edge_index: Tensor, monkeypatch: pytest.MonkeyPatch
) -> tuple[DifferentialOperators, DifferentialOperators]:
    """Compiled, in a part a thread whatever the size and the last part first, and in torch."""

    def backwards(kernel: Callable[..., None], parts: int, *args: Any) -> None:
        for part in reversed(range(parts)):
            kernel(part, parts, *args)

    with monkeypatch.context() as patch:
        patch.setattr("mgic_geo.kernels.derivatives.cpu._WORTH_SHARING", 0)
        patch.setattr("mgic_geo.kernels.derivatives.cpu.run_parts", backwards)
        found = differential_operators(pos, edge_index)
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "COMPILED", False)
        return found, differential_operators(pos, edge_index)


@needs_compiled
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str
)
def test_compiled_operators_are_those_of_torch(
    threads: int, dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(1)
    pos = torch.randn(3, 60, generator=generator, dtype=dtype).T  # not contiguous
    pos[7] = pos[8]
    edge_index = torch.randint(0, 50, (2, 400), generator=generator)  # ten nodes have no edges
    edge_index[:, :5] = edge_index[0, :5]  # loops
    edge_index[:, 5:7] = torch.tensor([[7], [8]])  # coincident points, and an edge twice
    by_node = edge_index[:, edge_index[1].argsort(stable=True)]
    knn = knn_graph(pos.contiguous(), 5)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for edges in (edge_index, by_node, edge_index.int(), edge_index.T.contiguous().T, knn):
            for one, other in zip(*both_ways(pos, edges, monkeypatch), strict=True):
                assert one.dtype == other.dtype
                torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
    finally:
        torch.set_num_threads(before)


@needs_compiled
@pytest.mark.parametrize("nodes", [0, 1, 4])
def test_no_edges(nodes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    none = torch.zeros(2, 0, dtype=torch.long)
    for one, other in zip(*both_ways(torch.zeros(nodes, 3), none, monkeypatch), strict=True):
        assert torch.equal(one, other)


@any_fit
def test_positions_may_have_gradients(fit: str) -> None:
    pos, edge_index, _ = build(1)
    differential_operators(pos.requires_grad_(), edge_index, fit).weight.square().sum().backward()
    assert pos.grad is not None
    assert pos.grad.abs().max() > 0.0


@any_fit
def test_constants_have_no_derivatives_and_rows_are_bounded(fit: str) -> None:
    *_, operators = build(fit=fit)
    dense = matrices(*operators[:3])
    torch.testing.assert_close(dense.sum(dim=2), torch.zeros(6, dense.size(1)).double())
    assert dense.abs().sum(dim=2).max() <= BOUNDS[fit] + 1e-12


def test_second_derivatives_sum_to_the_graph_laplacian() -> None:
    _, edge_index, operators = build()
    nodes = operators.num_nodes
    laplacian = -torch.eye(nodes, dtype=torch.float64)
    laplacian[edge_index[1], edge_index[0]] += 1 / 6
    torch.testing.assert_close(matrices(*operators[:3])[3:].sum(dim=0), laplacian)


@any_fit
def test_shifted_and_scaled_clouds_have_the_same_operators(fit: str) -> None:
    pos, edge_index, operators = build(fit=fit)
    for moved in (pos + torch.tensor([5.0, -3.0, 2.0]), pos * 250.0, pos * 1e-3 - 1.0):
        found = differential_operators(moved, edge_index, fit)
        torch.testing.assert_close(found.weight, operators.weight, rtol=1e-9, atol=1e-9)


@any_fit
def test_exchanged_axes_exchange_the_operators(fit: str) -> None:
    pos, edge_index, operators = build(fit=fit)
    found = differential_operators(pos[:, [2, 0, 1]], edge_index, fit)
    torch.testing.assert_close(found.weight, operators.weight[:, [2, 0, 1, 5, 3, 4]])


def test_a_linear_function_has_a_constant_gradient_on_a_lattice() -> None:
    axis = torch.arange(5.0)
    pos = torch.cartesian_prod(axis, axis, axis)
    edge_index = knn_graph(pos, 6)
    inside = ((pos > 0) & (pos < 4)).all(dim=1)
    dense = matrices(*differential_operators(pos, edge_index)[:3])
    gradient = dense[:3] @ (pos @ torch.tensor([3.0, -2.0, 0.5]))
    expected = torch.tensor([3.0, -2.0, 0.5]) / 3  # two of six edges go along an axis
    torch.testing.assert_close(gradient[:, inside].T, expected.expand(int(inside.sum()), 3))


@any_fit
@pytest.mark.parametrize("ragged", [False, True])
def test_batched_clouds_are_clouds_alone(ragged: bool, fit: str) -> None:
    pos, batch = random_clouds(3, 30, dtype=torch.float64, ragged=ragged)
    together = matrices(*differential_operators(pos, knn_graph(pos, 6, batch), fit)[:3])
    for i in range(3):
        alone = differential_operators(pos[batch == i], knn_graph(pos[batch == i], 6), fit)
        part = together[:, batch == i]
        torch.testing.assert_close(part[..., batch == i], matrices(*alone[:3]))
        assert (part[..., batch != i] == 0).all()


def test_to_converts_the_weights_alone() -> None:
    *_, operators = build(num_clouds=40)  # more entries than a half-precision number can count
    assert operators.col.numel() > 2**11
    for dtype in (torch.float32, torch.bfloat16):
        moved = operators.to(dtype)
        assert isinstance(moved, DifferentialOperators)
        for name, old, new in zip(operators._fields, operators, moved):
            if name.startswith("weight"):
                assert torch.equal(new, old.to(dtype))
            else:
                assert torch.equal(new, old)
                assert new.dtype == torch.int32
    assert operators.to("meta").col.device.type == "meta"


def test_self_loops_carry_no_derivative() -> None:
    pos, batch = random_clouds(1, 20, dtype=torch.float64)
    looped = matrices(*differential_operators(pos, knn_graph(pos, 7, batch, loop=True))[:3])
    plain = matrices(*differential_operators(pos, knn_graph(pos, 6, batch))[:3])
    torch.testing.assert_close(looped * 7, plain * 6)


@any_fit
@pytest.mark.parametrize("distance", [0.0, 1e-44, 1e-30, 1e-21, 1e-19, 1e-10])
def test_close_points_have_bounded_derivatives(distance: float, fit: str) -> None:
    pos = torch.tensor([[0.0, 0.0, 0.0], [0.6 * distance, 0.8 * distance, 0.0], [0.0, 0.0, 1.0]])
    operators = differential_operators(pos, knn_graph(pos, 2), fit)
    assert matrices(*operators[:3]).abs().sum(dim=2).max() <= BOUNDS[fit] + 1e-6


@pytest.mark.parametrize("compiled", [True, False])
def test_neighborhoods_group_edges_by_target_in_order(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(dispatch, "COMPILED", False)
    edge_index = torch.tensor([[3, 1, 0, 2, 1], [2, 0, 2, 0, 3]])
    graph = Neighborhoods.from_edge_index(edge_index, 5)
    assert graph.rowptr.tolist() == [0, 2, 2, 4, 5, 5]
    assert graph.col.tolist() == [1, 2, 3, 0, 1]
    assert graph.target().tolist() == [0, 0, 2, 2, 3]
    assert graph.num_nodes == 5
    assert graph.rowptr.dtype == graph.col.dtype == torch.int32


@pytest.mark.parametrize("compiled", [True, False])
def test_wrong_input_is_named(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(dispatch, "COMPILED", False)
    pos, edge_index, _ = build()
    nan, infinite = pos.clone(), pos.clone()
    nan[4, 0] = float("nan")  # node 4's edges come first: what follows must not hide them
    infinite[4, 0] = float("inf")
    graph = Neighborhoods.from_edge_index(edge_index, len(pos))
    for error, message, arguments in [
        (ValueError, r"pos must be \[N, d\], got \[\d+\]", (pos[:, 0], edge_index)),
        (DataError, "are not all finite", (nan, edge_index)),
        (DataError, "are not all finite", (infinite, edge_index)),
        (DataError, "points coincide", (torch.zeros_like(pos), edge_index)),
        (DataError, r"edge_index names node \d+, there are 5 nodes", (pos[:5], edge_index)),
        (DataError, "edge_index names node -1", (pos, edge_index - 1)),
        (DataError, "edge_index names node 90, ", (pos[:3], torch.tensor([[0, 1], [1, 90]]))),
        (DataError, "edge_index names node -7, ", (pos[:3], torch.tensor([[0, 1], [-7, 2]]))),
        (DataError, "edge_index names node 90, ", (pos[:3], torch.tensor([[0, 90], [1, 2]]))),
        (DataError, r"the graph has \d+ nodes, there are 5 points", (pos[:5], graph)),
    ]:
        with pytest.raises(error, match=message):
            differential_operators(*arguments)


@needs_compiled
@pytest.mark.parametrize("rowptr", [[0, 2, 1, 3], [1, 2, 3, 3], [0, 1, 2, 2], [0, -1, 2, 3]])
@pytest.mark.parametrize("col", [[0, 1, 2], [0, 3, 1], [0, -1, 1]])
def test_compiled_loops_read_no_damaged_graph(rowptr: list[int], col: list[int]) -> None:
    graph = Neighborhoods(torch.tensor(rowptr).int(), torch.tensor(col).int())
    with pytest.raises(DataError, match="the graph is damaged"):
        differential_operators(torch.rand(3, 3), graph)
    if min(col) < 0 or max(col) > 2:
        with pytest.raises(DataError, match=r"edge 1 of the graph names node (3|-1) of 3"):
            differential_operators(
                torch.rand(3, 3), Neighborhoods(torch.arange(4).int(), graph.col)
            )
