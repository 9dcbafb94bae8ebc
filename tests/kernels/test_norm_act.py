from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm

from mgic_geo.kernels import norm_act, norm_act_reference
from mgic_geo.kernels.norm_act import norm_act_backward
from mgic_geo.nn import BatchNorm

EPS = 1e-5
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-11}


def inputs(rows: int, channels: int, dtype: torch.dtype) -> list[Tensor]:
    made = [3 + 2 * torch.randn(rows, channels), *torch.randn(2, channels)]
    made.append(torch.randn(rows, channels))
    return [t.to(dtype).requires_grad_() for t in made]


def torch_twin(y: Tensor, weight: Tensor, bias: Tensor, residual: Tensor, relu: bool) -> Tensor:
    z = batch_norm(y, None, None, weight, bias, training=True, eps=EPS)
    return (z.relu() if relu else z) + residual


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("rows", "channels"), [(2, 16), (255, 64), (700, 32), (40, 5)])
def test_equals_torch(rows: int, channels: int, dtype: torch.dtype, relu: bool) -> None:
    args = inputs(rows, channels, dtype)
    found, mean, var = norm_act(*args, EPS, relu)
    expected = torch_twin(*args, relu)
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(found, expected, **close)
    torch.testing.assert_close(mean, args[0].mean(0), **close)
    torch.testing.assert_close(var, args[0].var(0, unbiased=False), **close)
    grad = torch.randn(rows, channels, dtype=dtype)
    for a, b in zip(
        torch.autograd.grad(found, args, grad), torch.autograd.grad(expected, args, grad)
    ):
        torch.testing.assert_close(a, b, rtol=TOLERANCE[dtype], atol=20 * TOLERANCE[dtype])


@pytest.mark.parametrize("channels", [16, 5])
def test_inputs_need_not_be_contiguous(channels: int) -> None:
    _, weight, bias, residual = inputs(20, channels, torch.float32)
    args = [torch.randn(channels, 20).T.requires_grad_(), weight, bias, residual]
    found, expected = norm_act(*args, EPS, True)[0], torch_twin(*args, True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    grad = torch.randn(channels, 20).T
    for a, b in zip(
        torch.autograd.grad(found, args, grad), torch.autograd.grad(expected, args, grad)
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [16, 5])
def test_statistics_far_from_zero_keep_their_digits(channels: int) -> None:
    y = 1000 + torch.randn(4000, channels)
    _, mean, var = norm_act(y, torch.ones(channels), torch.zeros(channels), None, EPS, False)
    torch.testing.assert_close(mean, y.double().mean(0).float(), rtol=1e-6, atol=0.0)
    expected = y.double().var(0, unbiased=False).float()
    torch.testing.assert_close(var, expected, rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("channels", [8, 3])
def test_first_and_second_gradients(channels: int, relu: bool) -> None:
    args = inputs(6, channels, torch.float64)

    def function(*args: Tensor) -> Tensor:
        return norm_act(*args, EPS, relu)[0]

    assert torch.autograd.gradcheck(function, args)
    assert torch.autograd.gradgradcheck(function, args)


def test_registration_is_sound() -> None:
    args = inputs(6, 8, torch.float64)
    torch.library.opcheck(norm_act.op, (*args, EPS, True))
    torch.library.opcheck(norm_act.op, (*args[:3], None, EPS, False))
    _, mean, var = norm_act(*args, EPS, True)
    torch.library.opcheck(norm_act_backward.op, (args[3], *args[:3], mean, var, EPS, True))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_stay_visible(value: float) -> None:
    args = [t.detach() for t in inputs(300, 16, torch.float32)]
    args[0][7, 3] = value
    shown = ~norm_act(*args, EPS, True)[0].isfinite()
    assert shown[7, 3]
    assert shown.any(0).nonzero().flatten().tolist() == [3]
    assert (~norm_act_reference(*args, EPS, True)[0].isfinite() <= shown).all()


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("shape", [(50, 32), (5, 10, 32), (50, 7)])
def test_the_layer_keeps_torchs_running_statistics(
    shape: tuple[int, ...], momentum: float | None
) -> None:
    channels = shape[-1]
    layer, twin = BatchNorm(channels), torch.nn.BatchNorm1d(channels)
    layer.momentum = twin.momentum = momentum
    for _ in range(3):
        x, residual = torch.randn(shape) + 2, torch.randn(shape)
        found = layer(x, relu=True, residual=residual)
        expected = twin(x.flatten(0, -2)).relu().view(shape) + residual
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dict(layer.named_buffers()), dict(twin.named_buffers()))
    x = torch.randn(shape)
    torch.testing.assert_close(
        layer.eval()(x, relu=True), twin.eval()(x.flatten(0, -2)).relu().view(shape)
    )


def test_a_batch_of_one_has_no_statistics() -> None:
    with pytest.raises(ValueError, match="more than 1 value"):
        BatchNorm(16)(torch.ones(1, 16))
