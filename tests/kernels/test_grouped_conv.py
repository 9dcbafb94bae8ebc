from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mgic_geo.kernels import (
    grouped_conv,
    grouped_conv_reference,
    pack_conv_bias,
    pack_conv_weight,
)
from mgic_geo.kernels.grouped_conv import run_grouped_conv

# batch, height, groups, in, out of a group, side of the filter, stride, dilation
SHAPES = [
    (1, 7, 2, 40, 120, 1, 1, 1),
    (2, 9, 3, 5, 7, 3, 2, 1),
    (2, 9, 3, 5, 7, 5, 1, 2),
    (1, 14, 8, 16, 16, 3, 1, 1),
    (3, 5, 2, 3, 20, 3, 1, 1),
    (1, 1, 4, 2, 1, 3, 1, 1),
    (2, 21, 2, 24, 24, 1, 2, 1),
]
ACTIVATIONS = (("relu", F.relu), ("relu6", F.relu6), ("hardswish", F.hardswish))


def make(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    batch, height, groups, size, out, side, stride, _ = shape
    g = torch.Generator().manual_seed(0)
    x = torch.randn(batch, groups * size, height, height + 2, dtype=dtype, generator=g)
    weight = torch.randn(groups * out, size, side, side, dtype=dtype, generator=g)
    bias = torch.randn(groups * out, dtype=dtype, generator=g)
    places = -(-height // stride), -(-(height + 2) // stride)
    residual = torch.randn(batch, groups * out, *places, dtype=dtype, generator=g)
    return x, weight, bias, residual


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    groups, side, stride, dilation = shape[2], *shape[5:]
    return F.conv2d(x, weight, bias, stride, dilation * (side // 2), dilation, groups)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_a_convolution_with_an_epilogue(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, weight, bias, residual = make(shape, dtype)
    groups, out, stride, dilation = shape[2], shape[4], shape[6], shape[7]
    packed = pack_conv_weight(weight, groups), pack_conv_bias(bias, groups)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}
    for image in (
        x,
        x.contiguous(memory_format=torch.channels_last),
        x.flip(3).flip(3)[:, :, :, :],
    ):
        for run in (grouped_conv, run_grouped_conv, grouped_conv_reference):
            bare = run(image, packed[0], None, None, out, stride, dilation)
            torch.testing.assert_close(bare, convolve(x, weight, None, shape), **close)
            expected = convolve(x, weight, bias, shape) + residual
            for act, function in ACTIVATIONS:
                found = run(image, *packed, residual, out, stride, dilation, act)
                torch.testing.assert_close(found, function(expected), **close)


def test_nan_stays() -> None:
    shape = SHAPES[1]
    x, weight, bias, _ = make(shape, torch.float32)
    x[0, 0, 4, 4] = torch.nan
    packed = pack_conv_weight(weight, 3), pack_conv_bias(bias, 3)
    for act, _ in ACTIVATIONS:
        found = run_grouped_conv(x, *packed, None, 7, 2, 1, act)
        assert torch.equal(found.isnan(), convolve(x, weight, bias, shape).isnan())
        assert found.isnan().any()


def test_weights_packed_for_another_type_are_taken_all_the_same() -> None:
    x, weight, bias, residual = make(SHAPES[2], torch.float32)
    packed = pack_conv_weight(weight, 3).double(), pack_conv_bias(bias, 3).double()
    found = run_grouped_conv(x.double(), *packed, residual.double(), 7, 1, 2)
    expected = convolve(x.double(), weight.double(), bias.double(), SHAPES[2]) + residual
    torch.testing.assert_close(found, expected)


def test_torch_sees_through() -> None:
    x, weight, bias, residual = make(SHAPES[3], torch.float32)
    packed = pack_conv_weight(weight, 8), pack_conv_bias(bias, 8)
    x, residual = (t.contiguous(memory_format=torch.channels_last) for t in (x, residual))
    for args in (
        (x, packed[0], None, None, 16),
        (x, *packed, residual, 16, 1, 1, "relu"),
    ):
        torch.library.opcheck(grouped_conv, args, test_utils=["test_schema", "test_faketensor"])


def test_what_does_not_fit_is_refused() -> None:
    x, weight, bias, residual = make(SHAPES[2], torch.float32)
    packed = pack_conv_weight(weight, 3), pack_conv_bias(bias, 3)
    for image, rest in (
        (x[:, 1:], None),
        (x, residual[:1]),
        (x, residual[..., 1:]),
        (x, residual.double()),
    ):
        with pytest.raises((ValueError, RuntimeError)):
            run_grouped_conv(image, *packed, rest, 7, 1, 2)
