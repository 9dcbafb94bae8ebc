from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import mgic_geo
from mgic_geo.graph import Neighborhoods, differential_operators, knn_graph
from mgic_geo.models import create_model, list_models
from mgic_geo.nn import (
    MGIC,
    MLP,
    BatchNorm,
    DenseBlock,
    DepthwiseShortcut,
    DiffGCNConv,
    EdgeConv,
    GraphBlock,
)
from mgic_geo.testing import random_clouds, randomize_norms


def norms(module: nn.Module) -> int:
    return sum(isinstance(m, BatchNorm) for m in module.modules())


@pytest.mark.parametrize("width", [32, 48])
@pytest.mark.parametrize("name", list_models(task="points"))
def test_fused_models_are_the_same(name: str, width: int) -> None:
    pos, batch = random_clouds(3, 50)
    model = randomize_norms(create_model(name, width=width, num_classes=4)).eval()
    before = copy.deepcopy(model.state_dict())
    fused = mgic_geo.fuse(model)
    with torch.no_grad():
        expected, found = model(pos, batch), fused(pos, batch)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-2  # or the comparison would say nothing
    assert not any(p.requires_grad for p in fused.parameters())
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("name", list_models(task="points"))
def test_no_norm_is_left(name: str) -> None:
    assert norms(create_model(name)) > 0
    assert norms(mgic_geo.fuse(create_model(name))) == 0


def grouped_conv(channels: int, groups: int) -> nn.Module:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=groups)


def dense_block(channel_axis: int):
    return lambda c, g: DenseBlock(c, c, g, residual=True, channel_axis=channel_axis)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (MGIC(dense_block(-1), 64, in_channels=24), (30, 24)),
        (MGIC(dense_block(-1), 40, 5, 10), (7, 40)),
        (MGIC(dense_block(1), 32, in_channels=8, channel_axis=1), (2, 8, 5, 7)),
        (MGIC(grouped_conv, 32, channel_axis=1), (2, 32, 6, 6)),
        (
            MGIC(grouped_conv, 32, shortcut=DepthwiseShortcut(16, 32, stride=2), channel_axis=1),
            (2, 16, 9, 9),
        ),
        (MLP([6, 32, 32, 3], plain_last=True), (5, 6)),
    ],
)
def test_blocks_of_any_domain_are_the_same(layer: nn.Module, shape: tuple[int, ...]) -> None:
    layer = randomize_norms(layer).eval()
    x = torch.randn(shape)
    fused = mgic_geo.fuse(layer)
    assert norms(layer) > 0
    assert norms(fused) == 0
    kept = x.clone()
    torch.testing.assert_close(fused(x), layer(x), rtol=1e-5, atol=1e-5)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("terms", [("gradient",), ("identity", "laplacian")])
@pytest.mark.parametrize("bias", [True, False])
def test_terms_and_biases_are_folded(terms: tuple[str, ...], bias: bool) -> None:
    pos, batch = random_clouds(1, 40)
    graph = differential_operators(pos, knn_graph(pos, 5, batch))
    block = randomize_norms(GraphBlock(DiffGCNConv(16, 32, 2, terms, bias), 32)).eval()
    x = torch.randn(40, 16)
    torch.testing.assert_close(
        mgic_geo.fuse(block)(x, graph), block(x, graph), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("aggr", ["max", "mean"])
def test_negative_scales_stay_outside_of_the_maximum(aggr: str) -> None:
    pos, batch = random_clouds(1, 40)
    graph = Neighborhoods.from_edge_index(knn_graph(pos, 5, batch), 40)
    block = GraphBlock(EdgeConv([32, 16], aggr=aggr), 16, residual=True).eval()
    nn.init.constant_(block.norm.weight, -1.5)
    x = torch.randn(40, 16)
    torch.testing.assert_close(mgic_geo.fuse(block)(x, graph), block(x, graph))


def test_what_is_not_known_stays() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Dropout())
    fused = mgic_geo.fuse(model)
    x = torch.randn(3, 4)
    assert model.training
    assert not fused.training
    torch.testing.assert_close(fused(x), model.eval()(x))


def test_the_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="fusion_"):
        mgic_geo.fusion_  # noqa: B018
