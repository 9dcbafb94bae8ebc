from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_geometric.nn import Sequential

from mgic_geo.graph import Neighborhoods, differential_operators, knn_graph
from mgic_geo.nn import DiffGCNConv
from mgic_geo.testing import assert_permutation_equivariant, random_clouds

TERMS = {"identity": 1, "gradient": 3, "laplacian": 3}


def slow_terms(x: Tensor, pos: Tensor, edge_index: Tensor) -> dict[str, list[Tensor]]:
    """Identity, G_x, G_y, G_z and L_x, L_y, L_z of every node, from the formulas, edge by edge."""
    found: dict[str, list[list[Tensor]]] = {term: [] for term in TERMS}
    for i in range(len(pos)):
        neighbors = [int(j) for j, target in edge_index.T if int(target) == i]
        gradient = [torch.zeros_like(x[i]) for _ in range(3)]
        laplacian = [torch.zeros_like(x[i]) for _ in range(3)]
        for j in neighbors:
            u = pos[j] - pos[i]
            length = torch.sqrt((u * u).sum())
            for a in range(3):
                unit = u[a] / length if length > 0 else u[a]
                gradient[a] = gradient[a] + unit * (x[j] - x[i]) / len(neighbors)
                laplacian[a] = laplacian[a] + unit**2 * (x[j] - x[i]) / len(neighbors)
        for term, rows in zip(TERMS, ([x[i]], gradient, laplacian)):
            found[term].append(rows)
    return {term: [torch.stack(rows) for rows in zip(*found[term])] for term in TERMS}


def slow_conv(layer: DiffGCNConv, x: Tensor, pos: Tensor, edge_index: Tensor) -> Tensor:
    terms = slow_terms(x, pos, edge_index)
    rows = [row for term in TERMS if term in layer.terms for row in terms[term]]
    size, out = layer.weight.shape[2:]
    y = x.new_zeros(len(x), layer.out_channels)
    for g in range(layer.groups):
        for t, row in enumerate(rows):
            part = row[:, g * size : (g + 1) * size] @ layer.weight[g, t]
            y = torch.cat(
                [y[:, : g * out], y[:, g * out : (g + 1) * out] + part, y[:, (g + 1) * out :]], 1
            )
    return y if layer.bias is None else y + layer.bias


def graph(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    pos, batch = random_clouds(2, 12, dtype=dtype, ragged=True)
    pos[1] = pos[0]  # coincident neighbours have no direction
    edge_index = knn_graph(pos, 4, batch)
    return pos, edge_index[:, edge_index[1] != 3]  # and node 3 has no neighbours


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "groups"), [(6, 4, 2), (4, 4, 4), (3, 5, 1)]
)
@pytest.mark.parametrize(
    "terms",
    [tuple(TERMS), ("identity",), ("laplacian", "identity"), ("gradient",)],
    ids="+".join,
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str
)
def test_equals_the_formulas(
    in_channels: int,
    out_channels: int,
    groups: int,
    terms: tuple[str, ...],
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    pos, edge_index = graph(dtype)
    layer = DiffGCNConv(in_channels, out_channels, groups, terms, bias=groups > 1).to(dtype)
    x = torch.randn(len(pos), in_channels, dtype=dtype, requires_grad=True)
    assert layer.weight.numel() == (
        sum(TERMS[term] for term in terms) * in_channels * out_channels // groups
    )
    found, expected = layer(x, pos, edge_index), slow_conv(layer, x, pos, edge_index)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    weight = torch.randn_like(found)
    inputs = [x, *layer.parameters()]
    gradients = zip(
        torch.autograd.grad((found * weight).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
    )
    for a, b in gradients:
        torch.testing.assert_close(a, b, rtol=10 * tolerance, atol=10 * tolerance)


def test_prepared_operators_and_neighborhoods_give_the_same() -> None:
    pos, edge_index = graph()
    layer = DiffGCNConv(6, 8, 2).double()
    x = torch.randn(len(pos), 6, dtype=torch.float64)
    expected = layer(x, pos, edge_index)
    assert torch.equal(layer(x, differential_operators(pos, edge_index)), expected)
    neighborhoods = Neighborhoods.from_edge_index(edge_index, len(pos))
    assert torch.equal(layer(x, pos, neighborhoods), expected)


def test_type_follows_the_weights() -> None:
    pos, edge_index = graph()
    layer = DiffGCNConv(6, 8, 2)
    x = torch.randn(len(pos), 6)
    expected = layer(x, pos.float(), edge_index)
    for found in (layer(x, pos, edge_index), layer(x.double(), pos, edge_index)):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_works_in_a_sequential_of_pyg() -> None:
    pos, edge_index = graph(torch.float32)
    model = Sequential(
        "x, pos, edge_index",
        [
            (DiffGCNConv(3, 8), "x, pos, edge_index -> x"),
            torch.nn.ReLU(),
            (DiffGCNConv(8, 4, 2), "x, pos, edge_index -> x"),
        ],
    )
    assert model(pos, pos, edge_index).shape == (len(pos), 4)


def test_renumbered_points_renumber_the_output() -> None:
    pos, batch = random_clouds(2, 40, ragged=True)
    layer = DiffGCNConv(8, 8, 2)
    assert_permutation_equivariant(
        lambda x, pos: layer(x, pos, knn_graph(pos, 6, batch)),
        torch.randn(len(pos), 8),
        pos,
        batch=batch,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 10}, "in_channels = 10 .* groups = 4"),
        ({"out_channels": 6}, "out_channels = 6 .* groups = 4"),
        ({"terms": ()}, "use one or more of"),
        ({"terms": ("curl",)}, r"terms = \('curl',\)"),
    ],
)
def test_wrong_settings_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiffGCNConv(**{"in_channels": 8, "out_channels": 8, "groups": 4, **arguments})


def test_wrong_input_is_named() -> None:
    pos, edge_index = graph(torch.float32)
    layer = DiffGCNConv(8, 8)
    operators = differential_operators(pos, edge_index)
    with pytest.raises(ValueError, match="needs pos and edge_index, or prepared operators"):
        layer(torch.zeros(len(pos), 8), pos)
    with pytest.raises(ValueError, match=r"x must be \[N, 8\], got \[\d+, 4\]"):
        layer(torch.zeros(len(pos), 4), operators)
    with pytest.raises(ValueError, match=r"x has 5 nodes, .* belong to other points"):
        layer(torch.zeros(5, 8), operators)


def test_reset_and_repr() -> None:
    layer = DiffGCNConv(8, 16, 4)
    for parameter in layer.parameters():
        torch.nn.init.constant_(parameter, 7.0)
    layer.reset_parameters()
    assert not any((parameter == 7.0).any() for parameter in layer.parameters())
    assert layer.weight.abs().max().item() <= (7 * 2) ** -0.5
    assert "8, 16, groups=4, terms=('identity', 'gradient', 'laplacian')" in repr(layer)
