from __future__ import annotations

import pytest
import torch
from torch import nn

import mgic_geo
from mgic_geo.models import create_model, list_models
from mgic_geo.nn import GroupedPointwise
from mgic_geo.nn.fused_conv import FusedConv
from mgic_geo.nn.norm import BatchNorm
from mgic_geo.nn.vision import ConvNormAct
from mgic_geo.testing import randomize_norms

IMAGE_MODELS = [*list_models(task="images"), *list_models(task="segmentation")]


@pytest.mark.parametrize("act", ["none", "relu", "relu6", "hardswish"])
@pytest.mark.parametrize("form", [(3, 2, 1, 1), (1, 1, 4, 1), (5, 1, 16, 2)])
def test_norm_sum_and_activation_are_those_of_the_parts(
    form: tuple[int, int, int, int], act: str
) -> None:
    side, stride, groups, dilation = form
    block = randomize_norms(ConvNormAct(16, 32, side, stride, groups, act, dilation=dilation))
    fused = mgic_geo.fuse(block.double())
    assert isinstance(fused, FusedConv)
    x = torch.randn(2, 16, 9, 7, dtype=torch.float64)
    residual = torch.randn_like(block.eval()(x))
    kept = residual.clone()
    for rest in (None, residual):
        torch.testing.assert_close(fused(x, rest), block(x, rest), rtol=1e-12, atol=1e-12)
        with torch.no_grad():
            torch.testing.assert_close(fused(x, kept.clone()), block(x, kept))
    assert torch.equal(residual, kept)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_image_networks_become_plain_convolutions(name: str) -> None:
    with torch.device("meta"):
        modules = list(mgic_geo.fuse(create_model(name)).modules())
    assert not [m for m in modules if isinstance(m, (BatchNorm, GroupedPointwise))]
    convs = [m for m in modules if isinstance(m, nn.Conv2d)]
    assert all(isinstance(conv.weight, nn.Parameter) and conv.weight.dim() == 4 for conv in convs)


def test_maps_lie_channels_last_whatever_the_image() -> None:
    fused = mgic_geo.fuse(create_model("mgic_resnet56")).eval()
    maps = fused.forward_intermediates(torch.randn(1, 3, 16, 16))  # type: ignore[operator]
    assert all(m.is_contiguous(memory_format=torch.channels_last) for m in maps)
