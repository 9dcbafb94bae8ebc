from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.nn.vision import HierarchicalBlock, HierarchicalConv2d
from mgic_geo.profiling import profile_model
from mgic_geo.testing import assert_full_coupling, assert_linear_scaling, randomize_norms


def images(channels: int, batch: int = 2, side: int = 6) -> Tensor:
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(0))


def sum_over_grids(x: Tensor, conv: HierarchicalConv2d) -> Tensor:
    """Each grid by itself: all the way down, one convolution, all the way up."""
    total = torch.zeros_like(x)
    for j, own in enumerate(conv.convs):
        y = x
        for restriction in conv.restrictions[:j]:
            y = restriction(y)
        y = own(y)
        for prolongation in reversed(conv.prolongations[:j]):
            y = prolongation(y)
        total = total + y
    return total


@pytest.mark.parametrize(("channels", "group_size", "coarsest"), [(64, 8, 16), (24, 4, 6)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_is_the_sum_over_the_grids(
    channels: int, group_size: int, coarsest: int, memory_format: Any
) -> None:
    conv = HierarchicalConv2d(channels, group_size, coarsest)
    x = images(channels).contiguous(memory_format=memory_format)
    torch.testing.assert_close(conv(x), sum_over_grids(x, conv), rtol=1e-4, atol=1e-4)


def test_is_linear_and_couples_all_channels() -> None:
    conv = HierarchicalConv2d(32, 4, 8)
    x, y = images(32), images(32).flip(0)
    torch.testing.assert_close(conv(x + 2 * y), conv(x) + 2 * conv(y), rtol=1e-4, atol=1e-4)
    assert_full_coupling(conv, images(32, 4, 8), channel_axis=1)
    block = randomize_norms(HierarchicalBlock(32, 4, 8)).eval()
    assert_full_coupling(block, images(32, 4, 8), channel_axis=1)


def test_without_coarsenings_it_is_the_dense_convolution() -> None:
    conv = HierarchicalConv2d(16, 8, 16)
    [dense] = conv.convs
    assert cast(nn.Conv2d, dense).groups == 1
    assert torch.equal(conv(images(16)), dense(images(16)))


def test_parameters_and_work_are_those_of_the_hierarchy_and_linear_in_the_width() -> None:
    def build(width: int) -> HierarchicalConv2d:
        with torch.device("meta"):
            return HierarchicalConv2d(width, 8, 16)

    def macs(width: int) -> int:
        x = torch.empty(1, width, 4, 4, device="meta")
        return sum(line.macs for line in profile_model(build(width), x))

    def parameters(width: int) -> int:
        return sum(p.numel() for p in build(width).parameters())

    for width in (64, 96):
        hierarchy = build(width).hierarchy
        assert parameters(width) == hierarchy.parameters(9, norm=0)
        assert macs(width) == hierarchy.macs(9, 16)
    widths = [64, 128, 256, 1024, 4096]
    assert_linear_scaling(parameters, widths)
    assert_linear_scaling(macs, widths)


def test_block_without_convolutions_is_the_identity_on_features_above_zero() -> None:
    block = HierarchicalBlock(32, 4, 8)
    for norm in block.norms:
        nn.init.zeros_(cast(Tensor, norm.weight))
    x = images(32).abs()
    assert torch.equal(block(x), x)
