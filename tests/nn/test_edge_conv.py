from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

from mgic_geo.graph import Neighborhoods, knn_graph
from mgic_geo.nn import DynamicEdgeConv, EdgeConv
from mgic_geo.testing import assert_permutation_equivariant, random_clouds

AGGREGATIONS = ["max", "mean", "add"]


class Bent(nn.Module):
    """One layer, but more than a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x))


def networks() -> dict[str, nn.Module]:
    return {
        "linear": nn.Linear(8, 6),
        "linear in a sequential": nn.Sequential(nn.Linear(8, 6)),
        "deep": nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 6)),
        "linear and more": Bent(),
        "with a norm": nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6)),
    }


def graph() -> tuple[Tensor, Tensor]:
    """Features and edges in no order, where node 3 has no neighbours."""
    x = torch.randn(20, 4, dtype=torch.float64, requires_grad=True)
    edge_index = torch.randint(0, 20, (2, 90))
    return x, edge_index[:, edge_index[1] != 3]


def assert_same(ours: Any, theirs: Any, x: Tensor, *args: Any) -> None:
    """Same values, and same gradients of the input and of all parameters in order."""
    found, expected = ours(x, *args), theirs(x, *args)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad((found * weight).sum(), [x, *ours.parameters()]),
        torch.autograd.grad((expected * weight).sum(), [x, *theirs.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(a.reshape(b.shape), b)


@pytest.mark.parametrize("aggr", AGGREGATIONS)
@pytest.mark.parametrize("network", networks())
def test_equals_pyg_for_a_module(network: str, aggr: str) -> None:
    h = networks()[network].double()
    x, edge_index = graph()
    ours, theirs = EdgeConv(h, aggr=aggr), pyg.EdgeConv(h, aggr=aggr)
    assert_same(ours, theirs, x, edge_index)
    assert (ours(x, edge_index)[3] == 0).all()
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def pyg_twin(ours: EdgeConv, widths: list[int], bias: bool = True, group: int = 0) -> nn.Module:
    """PyG's layer of these widths with the weights of one of our groups."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b, bias, dtype=torch.float64), nn.ReLU()]
    theirs = pyg.EdgeConv(nn.Sequential(*layers[:-1]), aggr=ours.aggr)  # draws its weights anew
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        q.data.copy_(p.data[group] if p.dim() == 3 else p.data.chunk(ours.groups)[group])
    return theirs


@pytest.mark.parametrize("aggr", AGGREGATIONS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("widths", [[8, 6], [8, 5, 6]])
def test_equals_pyg_for_widths(widths: list[int], bias: bool, aggr: str) -> None:
    ours = EdgeConv(widths, aggr=aggr, bias=bias).double()
    assert_same(ours, pyg_twin(ours, widths, bias), *graph())


@pytest.mark.parametrize("aggr", AGGREGATIONS)
@pytest.mark.parametrize("widths", [[4, 5], [4, 3, 5]])
def test_groups_are_edge_convs_side_by_side(widths: list[int], aggr: str) -> None:
    ours = EdgeConv([2 * width for width in widths], groups=2, aggr=aggr).double()
    x, edge_index = graph()
    parts = [
        pyg_twin(ours, widths, group=g)(part, edge_index) for g, part in enumerate(x.chunk(2, 1))
    ]
    found, expected = ours(x, edge_index), torch.cat(parts, dim=1)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(found)
    (gradient,) = torch.autograd.grad((found * weight).sum(), x)
    torch.testing.assert_close(gradient, *torch.autograd.grad((expected * weight).sum(), x))


@pytest.mark.parametrize("aggr", AGGREGATIONS)
def test_dynamic_equals_pyg_on_the_graph_in_feature_space(aggr: str) -> None:
    h = networks()["deep"].double()
    x = torch.randn(50, 4, dtype=torch.float64, requires_grad=True)
    batch = torch.arange(2).repeat_interleave(25)
    edge_index = knn_graph(x, 6, batch, loop=True)
    static = pyg.EdgeConv(h, aggr=aggr)
    dynamic = DynamicEdgeConv(h, k=6, aggr=aggr)
    torch.testing.assert_close(dynamic(x, batch), static(x, edge_index))
    assert "k=6" in repr(dynamic)


@pytest.mark.parametrize("groups", [1, 2])
def test_neighborhoods_give_the_same(groups: int) -> None:
    x, edge_index = graph()
    layer = EdgeConv([8, 6], groups).double()
    found = layer(x, Neighborhoods.from_edge_index(edge_index, 20))
    assert torch.equal(found, layer(x, edge_index))


def test_works_in_a_sequential_of_pyg() -> None:
    x, edge_index = graph()
    model = pyg.Sequential(
        "x, edge_index, batch",
        [
            (EdgeConv([8, 16]), "x, edge_index -> x"),
            nn.ReLU(),
            (EdgeConv([32, 16, 8], groups=4), "x, edge_index -> x"),
            (DynamicEdgeConv([16, 6], k=3), "x, batch -> x"),
        ],
    )
    assert model(x.float(), edge_index, torch.zeros(20, dtype=torch.long)).shape == (20, 6)


@pytest.mark.parametrize("layer", [EdgeConv, DynamicEdgeConv])
def test_members_are_in_the_order_of_pyg(layer: type[nn.Module]) -> None:
    theirs = [name for name in vars(getattr(pyg, layer.__name__)) if name in vars(layer)]
    assert [name for name in vars(layer) if name in theirs] == theirs


def test_renumbered_points_renumber_the_output() -> None:
    pos, batch = random_clouds(2, 40, ragged=True)
    layer = DynamicEdgeConv([12, 8], k=6, groups=2)
    assert_permutation_equivariant(lambda x: layer(x, batch), torch.randn(len(pos), 6), batch=batch)


def test_reset_draws_every_parameter_anew() -> None:
    layer = EdgeConv([8, 6, 4])
    for parameter in layer.parameters():
        nn.init.constant_(parameter, 7.0)
    layer.reset_parameters()
    assert not any((parameter == 7.0).any() for parameter in layer.parameters())


def test_wrong_settings_are_named() -> None:
    for arguments, message in [
        (([8, 6], 1, "min"), "aggr = 'min'"),
        (([7, 6],), r"widths = \[7, 6\]: .* the first even"),
        (([8],), r"widths = \[8\]"),
        (([8, 6], 4), "out_channels = 6 .* groups = 4"),
        ((nn.Linear(8, 6), 2), "groups = 2 needs widths"),
    ]:
        with pytest.raises(ValueError, match=message):
            EdgeConv(*arguments)
    x, edge_index = graph()
    with pytest.raises(ValueError, match="x has 4 nodes, the graph has 20"):
        EdgeConv([8, 6])(x[:4], Neighborhoods.from_edge_index(edge_index, 20))
    with pytest.raises(ValueError, match=r"edge_index names node \d+, there are 4 nodes"):
        EdgeConv([8, 6])(x[:4], edge_index)
