from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.nn import MLP, DenseBlock, DepthwiseShortcut, GroupedPointwise, PointwiseShortcut

GROUPS = [(12, 8, 1), (12, 8, 4), (16, 16, 16), (6, 30, 3)]


def block_diagonal(layer: GroupedPointwise, x: Tensor) -> Tensor:
    y = x @ torch.block_diag(*layer.weight).T
    return y if layer.bias is None else y + layer.bias


@pytest.mark.parametrize(("in_channels", "out_channels", "groups"), GROUPS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "shape", [(7,), (3, 5), (2, 3, 4)], ids=["nodes", "clouds", "four dimensions"]
)
def test_equals_the_block_diagonal_matrix_on_the_last_axis(
    in_channels: int, out_channels: int, groups: int, bias: bool, shape: tuple[int, ...]
) -> None:
    layer = GroupedPointwise(in_channels, out_channels, groups, bias).double()
    x = torch.randn(*shape, in_channels, dtype=torch.float64)
    torch.testing.assert_close(layer(x), block_diagonal(layer, x))
    assert layer.weight.numel() == in_channels * out_channels // groups


@pytest.mark.parametrize(("in_channels", "out_channels", "groups"), GROUPS)
@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4)], ids=["signals", "images", "volumes"])
def test_equals_the_block_diagonal_matrix_on_the_second_axis(
    in_channels: int, out_channels: int, groups: int, shape: tuple[int, ...]
) -> None:
    layer = GroupedPointwise(in_channels, out_channels, groups, channel_axis=1).double()
    x = torch.randn(2, in_channels, *shape, dtype=torch.float64)
    expected = block_diagonal(layer, x.movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(("in_channels", "out_channels", "groups"), GROUPS)
def test_equals_a_1x1_convolution(in_channels: int, out_channels: int, groups: int) -> None:
    layer = GroupedPointwise(in_channels, out_channels, groups, channel_axis=1).double()
    conv = nn.Conv2d(in_channels, out_channels, 1, groups=groups, dtype=torch.float64)
    with torch.no_grad():
        conv.weight.copy_(layer.weight.reshape(conv.weight.shape))
        conv.bias.copy_(layer.bias)
    x = torch.randn(2, in_channels, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(layer(x), conv(x))


def test_keeps_channels_last() -> None:
    x = torch.randn(2, 8, 4, 4).to(memory_format=torch.channels_last)
    y = GroupedPointwise(8, 16, 4, channel_axis=1)(x)
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_first_weights_are_those_of_linear() -> None:
    layer = GroupedPointwise(4096, 64, 16)
    assert layer.weight.abs().max().item() == pytest.approx(
        1 / 16, rel=1e-3
    )  # fan-in 256 of a group


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 8, 4), "in_channels = 10 is no positive multiple of groups = 4; .* is 8"),
        ((8, 11, 4), "out_channels = 11 .* is 12"),
        ((0, 8, 4), "in_channels = 0 .* is 4"),
        ((8, 8, 0), "groups = 0: it must be at least 1"),
        ((8, 8, 2, True, 2), "channel_axis = 2: use -1"),
    ],
)
def test_what_does_not_divide_is_named(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroupedPointwise(*arguments)


def test_shortcuts() -> None:
    pointwise = PointwiseShortcut(6, 16, groups=2).eval()
    x = torch.randn(5, 6)
    expected = pointwise.norm(pointwise.pointwise(x))
    assert torch.equal(pointwise(x), expected)
    assert sum(p.numel() for p in pointwise.parameters()) == 6 * 16 // 2 + 2 * 16

    wider = DepthwiseShortcut(16, 32, stride=2)
    assert (wider.conv.groups, wider.conv.weight.numel()) == (16, 9 * 32)
    assert wider(torch.randn(2, 16, 9, 9)).shape == (2, 32, 5, 5)
    assert DepthwiseShortcut(24, 36).conv.groups == 12


@pytest.mark.parametrize("shortcut", [PointwiseShortcut(6, 16), DepthwiseShortcut(6, 12)])
def test_shortcuts_reset(shortcut: nn.Module) -> None:
    for parameter in shortcut.parameters():
        nn.init.constant_(parameter, 7.0)
    shortcut.reset_parameters()
    assert not any((parameter == 7.0).any() for parameter in shortcut.parameters())


@pytest.mark.parametrize(("channel_axis", "shape"), [(-1, (9, 12)), (1, (2, 12, 3, 3))])
def test_dense_block(channel_axis: int, shape: tuple[int, ...]) -> None:
    block = DenseBlock(12, 12, 3, residual=True, channel_axis=channel_axis)
    x = torch.randn(shape)
    expected = x + torch.relu(block.norm(block.pointwise(x)))
    torch.testing.assert_close(block(x), expected)
    assert block.pointwise.bias is None  # the norm has one
    assert DenseBlock(12, 12, norm=None).pointwise.bias is not None
    linear = DenseBlock(12, 12, norm=None, act=None)
    nodes = torch.randn(4, 12)
    assert torch.equal(linear(nodes), linear.pointwise(nodes))
    with pytest.raises(ValueError, match="equal channels, got 4 and 8"):
        DenseBlock(4, 8, residual=True)


def test_mlp() -> None:
    mlp = MLP([6, 12, 8], groups=2, norm=None, plain_last=True).double()
    x = torch.randn(5, 6, dtype=torch.float64)
    hidden = torch.relu(block_diagonal(mlp[0].pointwise, x))
    torch.testing.assert_close(mlp(x), block_diagonal(mlp[1], hidden))
    names = [type(layer).__name__ for layer in MLP([6, 4, 4], dropout=0.5)]
    assert names == ["DenseBlock", "Dropout", "DenseBlock", "Dropout"]
    with pytest.raises(ValueError, match=r"widths = \[6\]"):
        MLP([6])
