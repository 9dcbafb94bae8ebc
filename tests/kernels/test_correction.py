from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mgic_geo.kernels import correction, correction_reference, dispatch
from mgic_geo.kernels.correction import correction_backward, has_correction

EPS = 1e-5
TOLERANCE = {torch.float32: 5e-5, torch.float64: 1e-11}
# nodes, groups, channels of a group in and out; the last ones fill no register
SHAPES = [(300, 8, 4, 8), (33, 4, 8, 16), (40, 3, 5, 10), (50, 1, 6, 4)]


def inputs(nodes: int, groups: int, size: int, out: int, dtype: torch.dtype) -> list[Tensor]:
    made = [
        torch.randn(nodes, groups * out),
        5 + torch.randn(nodes, groups * size),
        torch.randn(groups, out, size),
        *torch.randn(2, groups * out),
    ]
    return [t.to(dtype).requires_grad_() for t in made]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_norm_of_the_map(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    args = inputs(*shape, dtype)
    found, mean, var, *_ = correction(*args, EPS)
    expected, expected_mean, expected_var = correction_reference(*args, EPS)
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(found, expected, **close)
    torch.testing.assert_close(mean, expected_mean, **close)
    torch.testing.assert_close(var, expected_var, rtol=10 * TOLERANCE[dtype], atol=1e-6)
    grad = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad(found, args, grad), torch.autograd.grad(expected, args, grad)
    ):
        torch.testing.assert_close(a, b, rtol=10 * TOLERANCE[dtype], atol=30 * TOLERANCE[dtype])


@pytest.mark.skipif(not dispatch.COMPILED, reason="no compiled kernels here")
def test_some_of_these_shapes_are_compiled_and_some_are_not() -> None:
    assert {has_correction(torch.empty(1), *shape[1:]) for shape in SHAPES} == {True, False}


def test_statistics_far_from_zero_keep_their_digits() -> None:
    fine, delta, weight, scale, shift = (t.detach() for t in inputs(4000, 8, 4, 8, torch.float32))
    delta = delta + 300
    _, mean, var, *_ = correction(fine, delta, weight, scale, shift, EPS)
    doubled = (t.double() for t in (fine, delta, weight, scale, shift))
    _, expected_mean, expected_var = correction_reference(*doubled, EPS)
    torch.testing.assert_close(mean, expected_mean.float(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(var, expected_var.float(), rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("shape", [(4, 8, 4, 8), (5, 2, 2, 3)])
def test_first_and_second_gradients(shape: tuple[int, ...]) -> None:
    args = inputs(*shape, torch.float64)

    def function(*args: Tensor) -> Tensor:
        return correction(*args, EPS)[0]

    assert torch.autograd.gradcheck(function, args)
    assert torch.autograd.gradgradcheck(function, args, atol=1e-4)


def test_registration_is_sound() -> None:
    args = inputs(6, 8, 4, 8, torch.float64)
    torch.library.opcheck(correction.op, (*args, EPS))
    statistics = correction(*args, EPS)[1:]
    grad = torch.randn_like(args[0]).requires_grad_()
    torch.library.opcheck(correction_backward.op, (grad, *args[1:4], *statistics, EPS))
