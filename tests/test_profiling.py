from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from mgic_geo.graph import differential_operators, knn_graph
from mgic_geo.models import create_model, list_models
from mgic_geo.nn import MGIC, DenseBlock, DiffGCNConv, EdgeConv, GroupedPointwise
from mgic_geo.profiling import LayerCount, profile_model, profile_point_model

POINTS = 48
WIDTHS = [(64, 8, 16), (32, 4, 8), (24, 6, 6), (16, 8, 16)]


def total(layers: list[LayerCount]) -> tuple[int, int, int]:
    rows = [(layer.parameters, layer.macs, layer.graph_macs) for layer in layers]
    return tuple(map(sum, zip(*rows)))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def graph() -> dict[str, Any]:
    pos = torch.rand(POINTS, 3, generator=torch.Generator().manual_seed(0))
    edge_index = knn_graph(pos, 6)
    return {"edges": edge_index, "operators": differential_operators(pos, edge_index)}


BLOCKS = {
    "pointwise": (lambda c, g: GroupedPointwise(c, c, g, bias=False), 1, 0, None),
    "dense": (lambda c, g: DenseBlock(c, c, g), 1, 2, None),
    "edge": (lambda c, g: EdgeConv([2 * c, c], groups=g, bias=False), 2, 0, "edges"),
    "diffgcn": (lambda c, g: DiffGCNConv(c, c, g, bias=False), 7, 0, "operators"),
}


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("training", [False, True])
def test_measured_counts_equal_the_closed_formulas(
    name: str, widths: tuple[int, int, int], training: bool, graph: dict[str, Any]
) -> None:
    block, d, norm, extra = BLOCKS[name]
    layer = MGIC(block, *widths).train(training)
    inputs = [torch.randn(POINTS, widths[0]), *([graph[extra]] if extra else [])]
    parameters, macs, _ = total(profile_model(layer, *inputs))

    def weights(c: int, g: int) -> int:
        return d * c * c // g + norm * c

    assert macs == layer.hierarchy.macs(d, POINTS)
    assert parameters == layer.hierarchy.parameters(weights)
    assert parameters == sum(p.numel() for p in layer.parameters())


def test_derivatives_are_counted_apart_from_the_mixing(graph: dict[str, Any]) -> None:
    (conv,) = profile_model(DiffGCNConv(8, 12, 4), torch.randn(POINTS, 8), graph["operators"])
    assert conv.macs == POINTS * 7 * 8 * 12 // 4
    assert conv.graph_macs == POINTS * (6 + 1) * 6 * 8


@pytest.mark.parametrize("name", [*list_models(task="points"), "mgic_diffgcn_seg"])
def test_lines_add_up_to_the_model_at_every_depth(name: str) -> None:
    sums = {
        depth: total(profile_point_model(name, 32, depth, width=16)) for depth in (None, 0, 1, 2, 9)
    }
    assert len(set(sums.values())) == 1
    assert sums[None][0] == sum(p.numel() for p in create_model(name, width=16).parameters())
    assert min(sums[None][:2]) > 0


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [("diffgcn", 0.167e6, 157e6), ("mgic_diffgcn", 0.065e6, 50e6)],
)
def test_sizes_of_table_10(name: str, parameters: float, macs: float) -> None:
    measured = total(profile_point_model(name, 1024))
    assert measured[:2] == pytest.approx((parameters, macs), rel=0.01)


def test_counting_leaves_no_trace() -> None:
    model = create_model("mgic_diffgcn", width=16, dropout=0.5).train()
    pos = torch.rand(2, 24, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    profile_model(model, pos)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_shared_and_uncalled_modules() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4, bias=False)
            self.b = nn.Linear(4, 4, bias=False)
            self.b.weight = self.a.weight
            self.c = nn.Linear(4, 4, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x)) @ self.c.weight

    counts = {x.name: (x.parameters, x.macs) for x in profile_model(Shared(), torch.rand(3, 4))}
    assert counts == {"": (16, 48), "a": (16, 48), "b": (0, 48)}


def test_every_operator_of_the_package_has_a_formula() -> None:
    names = {
        name.removeprefix("mgic_geo::")
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("mgic_geo::")
    }
    assert "diff_conv" in names
    assert [name for name in names if getattr(torch.ops.mgic_geo, name) not in flop_registry] == []


@pytest.mark.parametrize("name", ["diffgcn", "mgic_diffgcn"])
def test_backward_costs_twice_the_forward(name: str) -> None:
    # the inputs of the stem need no gradient, so its input product is not computed
    model = create_model(name, width=16)
    pos = torch.rand(2, 24, 3)
    graph = model.prepare(pos)  # type: ignore[operator]
    flops: list[int] = []
    run: Callable[[], torch.Tensor] = partial(model, pos, operators=graph)
    with FlopCounterMode(display=False) as forward:
        loss = run().sum()
    flops.append(forward.get_total_flops())
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    stem = 2 * 48 * 7 * 3 * 16
    assert backward.get_total_flops() == 2 * flops[0] - stem
