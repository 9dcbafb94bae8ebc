from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mgic_geo.kernels._dispatch import lanes
from mgic_geo.nn.fused_conv import FusedConv, FusedSqueezeExcite
from mgic_geo.nn.vision import SqueezeExcite

# in, out, side of the filter, stride, dilation, groups
CONVS = [
    (6, 10, 3, 2, 1, 1),
    (16, 16, 3, 1, 1, 4),
    (16, 16, 5, 1, 2, 16),
    (24, 24, 3, 2, 1, 24),
    (10, 10, 3, 1, 1, 10),
    (16, 32, 3, 2, 1, 16),
    (8, 64, 3, 1, 1, 8),
    (8, 24, 3, 1, 1, 8),
    (16, 24, 3, 2, 1, 8),
    (32, 64, 1, 1, 1, 16),
    (12, 12, 3, 1, 2, 4),
]
ACTIVATIONS = (
    ("none", lambda t: t),
    ("relu", F.relu),
    ("relu6", F.relu6),
    ("hardswish", F.hardswish),
)


def images(channels: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, 9, 7, generator=generator, dtype=dtype)
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", CONVS, ids=str)
def test_every_form_is_a_convolution(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    size, out, side, stride, dilation, groups = shape
    torch.manual_seed(0)
    weight = torch.randn(out, size // groups, side, side, dtype=dtype)
    bias, x = torch.randn(out, dtype=dtype), images(size, dtype)
    y = F.conv2d(x, weight, bias, stride, dilation * (side // 2), dilation, groups)
    residual = torch.randn_like(y)
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {}
    for act, function in ACTIVATIONS:
        layer = FusedConv(weight, bias, stride, dilation, groups, act)
        for form in (x, x.contiguous()):
            torch.testing.assert_close(layer(form), function(y), **close)
            found = layer(form, residual)
            torch.testing.assert_close(found, function(y + residual), **close)
        bare = FusedConv(weight, None, stride, dilation, groups, act)(x)
        expected = function(y - bias.view(-1, 1, 1))
        torch.testing.assert_close(bare, expected, rtol=1e-4, atol=1e-4)


def test_another_type_later_on_gives_the_same() -> None:
    torch.manual_seed(0)
    for shape in CONVS:
        size, out, side, stride, dilation, groups = shape
        weight, x = torch.randn(out, size // groups, side, side), images(size, torch.float32)
        layer = FusedConv(weight, None, stride, dilation, groups, "relu")
        expected = layer(x).double()
        torch.testing.assert_close(layer.double()(x.double()), expected, rtol=1e-4, atol=1e-4)


def test_groups_that_fill_no_register_are_joined() -> None:
    width = lanes(torch.empty(1))
    if width == 0:
        pytest.skip("no compiled kernels here")
    joined = FusedConv(torch.randn(8 * width, 2, 3, 3), None, groups=4 * width)
    assert (joined.groups, joined.out) == (8, width)
    assert FusedConv(torch.randn(4 * width, 32, 1, 1), None, groups=8).groups == 4
    # two of them would need two registers, and so twice the products
    assert FusedConv(torch.randn(8 * (width - 1), 4, 1, 1), None, groups=8).groups == 8


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_squeeze_excite(groups: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = SqueezeExcite(36, 6, groups).to(dtype)
    with torch.no_grad():
        layer.expand.bias.mul_(30.0)  # some gates closed, some open
    fused, x = FusedSqueezeExcite(layer), images(36, dtype)
    for form in (x, x.contiguous()):
        torch.testing.assert_close(fused(form), layer(form))
    assert (fused(x) == 0).any()
    assert (fused(x) == x).any()
