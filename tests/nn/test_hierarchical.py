from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.nn import (
    HierarchicalConv,
    HierarchicalLinear,
    LinearGrid,
    LinearGrids,
    nested_grids,
    two_grids,
)
from mgic_geo.profiling import profile_model

GRIDS = {
    "nested": lambda n, m, t: nested_grids(n, m, 4, 4, t),
    "two grids": lambda n, m, t: two_grids(n, m, 4, 3, t),
    "kernel in the restriction": lambda n, m, t: two_grids(n, m, 4, 3, t, core=False),
    "no relaxation": lambda n, m, t: two_grids(n, m, 0, 3, t),
    "a coarse grid in groups": lambda n, m, t: two_grids(n, m, 4, 6, t, True, None, 3),
    "a coarse grid that is no square": lambda n, m, t: two_grids(n, m, 0, (6, 3), t, core=True),
    "relaxation alone": lambda n, m, t: two_grids(n, m, 4, 0, t),
    "dense": lambda n, m, t: LinearGrids((LinearGrid(n, m, 1),), t),
}


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 16), (16, 24), (20, 8), (6, 9)])
def test_linear_is_its_merged_weight(kind: str, inputs: int, outputs: int) -> None:
    grids = GRIDS[kind](inputs, outputs, 1)
    layer = HierarchicalLinear(inputs, outputs, grids=grids, dtype=torch.float64)
    for j, grid in enumerate(grids.grids):
        if grid.group_inputs:  # any choice of inputs, one of them twice
            layer.picks(j).copy_(torch.randint(inputs, layer.picks(j).shape))
    x = torch.randn(2, 5, inputs, dtype=torch.float64)
    expected = layer.merge()(x)
    torch.testing.assert_close(layer(x), expected)
    assert sum(p.numel() for p in layer.parameters()) == grids.parameters() + outputs
    assert sum(row.macs for row in profile_model(layer, x)) == grids.macs(10)


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": (3,), "stride": 2, "padding": 1},
        {"kernel_size": (1, 1), "stride": 2},
        {"kernel_size": (3, 5), "padding": "same", "padding_mode": "reflect"},
        {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)},
        {"kernel_size": (3, 3), "padding": (1, 2), "padding_mode": "circular", "bias": False},
        {"kernel_size": (2, 3, 1), "padding": "valid", "padding_mode": "replicate"},
    ],
    ids=lambda o: "-".join(map(str, o.values())),
)
def test_convolution_is_its_merged_weight(kind: str, options: dict[str, Any]) -> None:
    kernel = options["kernel_size"]
    grids = GRIDS[kind](16, 8, math.prod(kernel))
    layer = HierarchicalConv(16, 8, **options, grids=grids, dtype=torch.float64)
    x = torch.randn(2, 16, *(9, 8, 5)[: len(kernel)], dtype=torch.float64)
    dense = layer.merge()
    expected = dense(x)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x[0]), dense(x[0]))
    weights = sum(p.numel() for p in layer.parameters())
    assert weights == grids.parameters() + 8 * (layer.bias is not None)
    if layer.padding_mode == "zeros":
        places = expected[:, 0].numel(), x[:, 0].numel()
        assert sum(row.macs for row in profile_model(layer, x)) == grids.macs(*places)


def test_the_cycle_of_linear_relaxations_is_such_a_sum() -> None:
    """W = B0 (I + P (C - I) R), over three grids."""
    grids = nested_grids(16, 16, 4, 4)
    size = [16, 8, 4]
    groups = [4, 2]

    def blocks(count: int, out: int, inputs: int) -> Tensor:
        return torch.block_diag(*torch.randn(count, out // count, inputs // count)).double()

    B = [blocks(g, n, n) for g, n in zip(groups, size)]
    R = [blocks(g, n // 2, n) for g, n in zip(groups, size)]
    P = [blocks(g, n, n // 2) for g, n in zip(groups, size)]
    cycle = torch.randn(4, 4).double()
    layer = HierarchicalLinear(16, 16, grids=grids, bias=False, dtype=torch.float64)
    with torch.no_grad():
        # B0 (I + P (C - I) R) = B0 + (B0 P) (C - I) R: the coarse map takes C - I
        inner = cycle - torch.eye(4).double()
        layer.relaxation(2).copy_(inner)
        for j in (1, 0):
            cycle = B[j] @ (torch.eye(size[j]) + P[j] @ (cycle - torch.eye(size[j + 1])) @ R[j])
            own = B[j] - torch.eye(16).double()[: size[j], : size[j]] * (j > 0)
            for name, whole in (("fine", own), ("down", R[j]), ("up", B[j] @ P[j])):
                kept = {"fine": layer.fine, "down": layer.down, "up": layer.up}[name][j]
                parts = whole.view(groups[j], len(whole) // groups[j], groups[j], -1)
                kept.copy_(torch.cat([parts[g, :, g] for g in range(groups[j])]))
    torch.testing.assert_close(layer.merge_weight(), cycle)


@pytest.mark.parametrize("build", [nested_grids, two_grids])
def test_parameters_are_linear_in_the_width(build: Any) -> None:
    counts = [build(n, n, 8, 16, 9).parameters() for n in (64, 128, 256, 512)]
    steps = [b - a for a, b in pairwise(counts)]
    assert [b / a for a, b in pairwise(steps)] == [2.0, 2.0]


@pytest.mark.parametrize("kind", ["nested", "two grids", "no relaxation"])
def test_every_output_depends_on_every_input(kind: str) -> None:
    layer = HierarchicalLinear(16, 24, grids=GRIDS[kind](16, 24, 1))
    assert (layer.merge_weight() != 0).all()


def test_state_gradients_and_reset() -> None:
    layer = HierarchicalConv(16, 8, (3, 3), grids=two_grids(16, 8, 4, 3, 9))
    other = HierarchicalConv(16, 8, (3, 3), grids=two_grids(16, 8, 4, 3, 9))
    layer.picks(0).copy_(torch.randint(16, layer.picks(0).shape))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.merge_weight(), layer.merge_weight())
    layer(torch.randn(2, 16, 5, 5)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
    before = layer.merge_weight()
    layer.reset_parameters()
    assert not torch.equal(before, layer.merge_weight())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nested_grids(16, 16, 0, 4), "group_size = 0"),
        (lambda: HierarchicalLinear(16, 8, grids=nested_grids(16, 16, 4, 4)), "map 16 to 16"),
        (lambda: HierarchicalConv(16, 8, (3, 3, 3, 3)), "1 to 3 directions"),
        (lambda: HierarchicalConv(16, 8, (3, 3), stride=(1, 1, 1)), "one for each of 2"),
        (lambda: LinearGrids((LinearGrid(16, 8, 0),)), "no map from 16 to 8"),
        (lambda: LinearGrids((LinearGrid(16, 8, 3),)), "3 groups"),
        (lambda: two_grids(16, 16, 0, 0), "needs a relaxation"),
    ],
)
def test_wrong_numbers(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_modules_that_read_the_weight_find_a_dense_one() -> None:
    attention = nn.MultiheadAttention(16, 2, batch_first=True)
    attention.out_proj = HierarchicalLinear(16, 16, grids=two_grids(16, 16, 4, 2))
    x = torch.randn(2, 3, 16)
    assert attention(x, x, x)[0].shape == x.shape
