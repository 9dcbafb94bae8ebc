from __future__ import annotations

import inspect
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
import torch_geometric.transforms as pyg_transforms
from torch import Tensor, nn
from torch_geometric.nn.aggr import StdAggregation
from torch_geometric.utils import (
    coalesce,
    to_torch_coo_tensor,
    to_torch_csc_tensor,
    to_torch_csr_tensor,
)

from mgic_geo.graph import Neighborhoods
from mgic_geo.nn import (
    DynamicEdgeConv,
    EdgeConv,
    LinearEdgeConv,
    fps,
    knn,
    knn_graph,
    radius,
    radius_graph,
)
from mgic_geo.testing import assert_permutation_equivariant, random_clouds
from mgic_geo.transforms import KNNGraph, RadiusGraph

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
    neighborhoods = Neighborhoods.from_edge_index(edge_index, 20)
    for layer in (EdgeConv([8, 6], groups=groups), EdgeConv([8, 4, 6], groups=groups)):
        layer = layer.double()
        torch.testing.assert_close(layer(x, neighborhoods), layer(x, edge_index))
        turned = type(layer)(layer.nn, flow="target_to_source")
        turned.groups = groups
        torch.testing.assert_close(turned(x, edge_index.flip(0)), layer(x, edge_index))
        torch.testing.assert_close(turned(x, neighborhoods), layer(x, edge_index))
        torch.testing.assert_close(layer((x, x.clone()), neighborhoods), layer(x, edge_index))


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
        (([7, 6],), r"widths = \[7, 6\]: .* the first even"),
        (([8],), r"widths = \[8\]"),
        (([8, 6], "max", 4), "out_channels = 6 .* groups = 4"),
        ((nn.Linear(8, 6), "max", 2), "groups = 2 needs widths"),
        (([8, 6], "best"), "Could not resolve 'best'"),
    ]:
        with pytest.raises(ValueError, match=message):
            EdgeConv(*arguments[:2], groups=arguments[2] if len(arguments) > 2 else 1)
    with pytest.raises(ValueError, match="Expected 'flow' to be either"):
        EdgeConv([8, 6], flow="up")
    x, edge_index = graph()
    with pytest.raises(ValueError, match="x has 4 nodes, the graph has 20"):
        EdgeConv([8, 6])(x[:4], Neighborhoods.from_edge_index(edge_index, 20))
    for layer in (EdgeConv([8, 6]), EdgeConv([8, 5, 6])):
        with pytest.raises(IndexError, match="indices in 'edge_index' that are larger than 3"):
            layer.double()(x[:4], edge_index)
        with pytest.raises(ValueError, match="Expected 'edge_index' to be of integer type"):
            layer(x, edge_index.double())
        with pytest.raises(ValueError, match="Expected 'edge_index' to be two-dimensional"):
            layer(x, edge_index[0])
    with pytest.raises(ValueError, match="Static graphs not supported in DynamicEdgeConv"):
        DynamicEdgeConv([8, 6], k=3)(x[None])


SPARSE = {
    "coo": to_torch_coo_tensor,
    "csr": to_torch_csr_tensor,
    "csc": to_torch_csc_tensor,
}


@pytest.mark.parametrize("widths", [[8, 6], [8, 5, 6]])
@pytest.mark.parametrize("layout", SPARSE)
@pytest.mark.filterwarnings("ignore:Sparse :UserWarning")
def test_takes_sparse_adjacency(layout: str, widths: list[int]) -> None:
    x, edge_index = graph()
    layer = EdgeConv(widths).double()
    expected = layer(x, coalesce(edge_index))
    for nodes in (x, (x, x)):
        adjacency = SPARSE[layout](coalesce(edge_index), size=(20, 20))
        torch.testing.assert_close(layer(nodes, adjacency.t()), expected)


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("aggr", [*AGGREGATIONS, "min", ["max", "mean"], StdAggregation()])
def test_equals_pyg_from_some_nodes_to_others(aggr: Any, flow: str) -> None:
    x, _ = graph()
    targets = torch.randn(7, 4, dtype=torch.float64)
    edges = torch.stack([torch.randint(0, 20, (40,)), torch.randint(0, 6, (40,))])
    pair = (x, targets)
    if flow == "target_to_source":
        edges = edges.flip(0)
    for name in ("linear", "deep"):
        h = networks()[name].double()
        ours, theirs = (C(h, aggr, flow=flow) for C in (EdgeConv, pyg.EdgeConv))
        torch.testing.assert_close(ours(pair, edges), theirs(pair, edges))


def test_dynamic_finds_neighbors_among_other_nodes() -> None:
    h = networks()["deep"].double()
    sources, targets = (torch.randn(n, 4, dtype=torch.float64) for n in (12, 6))
    clouds = tuple(torch.arange(2).repeat_interleave(n) for n in (6, 3))
    static, dynamic = pyg.EdgeConv(h, aggr="mean"), DynamicEdgeConv(h, 2, "mean", 2)
    nodes = (sources, targets)
    edges = knn(*nodes, 2).flip(0)
    torch.testing.assert_close(dynamic(nodes), static(nodes, edges))
    edges = knn(*nodes, 2, *clouds).flip(0)
    torch.testing.assert_close(dynamic(nodes, clouds), static(nodes, edges))


def test_dynamic_takes_what_neighbors_there_are() -> None:
    layer = DynamicEdgeConv([8, 6], k=9)
    assert layer(torch.randn(5, 4)).shape == (5, 6)


def test_hooks_and_explanations_see_messages() -> None:
    x, edge_index = graph()
    layer = EdgeConv(nn.Linear(8, 6).double())
    expected = layer(x, edge_index)
    seen: list[torch.Size] = []
    layer.register_message_forward_hook(lambda module, inputs, out: seen.append(out.shape))
    torch.testing.assert_close(layer(x, edge_index), expected)
    assert seen == [(edge_index.size(1), 6)]
    other = EdgeConv(layer.nn)
    other.nn.register_forward_hook(lambda module, inputs, out: seen.append(out.shape))
    other(x, edge_index)
    assert len(seen) == 2


def test_is_pygs_in_name_and_arguments() -> None:
    h = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 6))
    assert repr(EdgeConv(h)) == repr(pyg.EdgeConv(h))
    assert repr(DynamicEdgeConv(h, k=2)) == f"DynamicEdgeConv(nn={h}, k=2)"
    for ours, theirs in (
        (EdgeConv, pyg.EdgeConv),
        (DynamicEdgeConv, pyg.DynamicEdgeConv),
        (fps, pyg.fps),
        (knn, pyg.knn),
        (knn_graph, pyg.knn_graph),
        (radius, pyg.radius),
        (radius_graph, pyg.radius_graph),
        (KNNGraph, pyg_transforms.KNNGraph),
        (RadiusGraph, pyg_transforms.RadiusGraph),
    ):
        found, expected = (
            [(p.name, p.default) for p in inspect.signature(each).parameters.values()]
            for each in (ours, theirs)
        )
        positional = [entry for entry in expected if entry[0] != "kwargs"]
        assert found[: len(positional)] == positional, ours


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_compiles_to_torchscript() -> None:
    x, edge_index = graph()
    layer = EdgeConv(nn.Linear(8, 6).double())
    dynamic = DynamicEdgeConv(nn.Sequential(nn.Linear(8, 6), nn.ReLU()).double(), k=3)
    for each, rest in ((layer, edge_index), (dynamic, torch.zeros(20, dtype=torch.long))):
        torch.testing.assert_close(torch.jit.script(each)(x, rest), each(x, rest))


def test_a_given_module_starts_anew_as_in_pyg() -> None:
    h = nn.Linear(8, 6)
    nn.init.constant_(h.weight, 7.0)
    EdgeConv(h)
    assert not (h.weight == 7.0).any()
    function = EdgeConv(lambda pair: pair[:, :2].relu())
    assert function(*(t.float() if t.is_floating_point() else t for t in graph())).shape == (20, 2)


def test_linear_edge_conv_is_edge_conv() -> None:
    x, edge_index = graph()
    linear = LinearEdgeConv(4, 6, groups=2).double()
    general = EdgeConv([8, 6], groups=2).double()
    general.load_state_dict(linear.state_dict())
    assert_same(linear, general, x, edge_index)
    assert repr(linear).startswith("LinearEdgeConv(\n  4, 6, groups=2")
