from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mgic_geo.kernels import (
    _dispatch,
    group_moments,
    grouped_pointwise,
    grouped_pointwise_reference,
)
from mgic_geo.kernels.pointwise import grouped_pointwise_weight_grad, mixes_pointwise

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
# nodes, groups, channels of a group in and out; the last ones fill no register
SHAPES = [
    (1, 8, 8, 4),
    (33, 8, 4, 8),
    (300, 16, 8, 8),
    (65, 4, 16, 8),
    (50, 2, 32, 16),
    (257, 16, 2, 4),
    (0, 8, 8, 4),
    (10, 3, 8, 4),
    (20, 2, 5, 3),
    (20, 1, 40, 20),
]


def inputs(nodes: int, groups: int, size: int, out: int, dtype: torch.dtype) -> list[Tensor]:
    shapes = [(nodes, groups * size), (groups, out, size), (groups * out,), (nodes, groups * out)]
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("extras", [0, 1, 2])
@pytest.mark.parametrize(("nodes", "groups", "size", "out"), SHAPES)
def test_compiled_maps_equal_plain_torch(
    nodes: int, groups: int, size: int, out: int, extras: int, dtype: torch.dtype
) -> None:
    args = inputs(nodes, groups, size, out, dtype)[: 2 + extras]
    grad = torch.randn(nodes, groups * out, dtype=dtype)
    found, expected = grouped_pointwise(*args), grouped_pointwise_reference(*args)
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype] * size}
    torch.testing.assert_close(found, expected, **close)
    for a, b in zip(
        torch.autograd.grad(found, args, grad), torch.autograd.grad(expected, args, grad)
    ):
        torch.testing.assert_close(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * nodes)


@pytest.mark.skipif(_dispatch.fused is None, reason="no compiled kernels here")
def test_some_of_these_shapes_are_compiled_and_some_are_not() -> None:
    x = torch.empty(1)
    assert {mixes_pointwise(x, *shape[1:]) for shape in SHAPES} == {True, False}


@pytest.mark.parametrize(("groups", "size", "out"), [(8, 8, 4), (4, 2, 4), (1, 3, 2)])
def test_first_and_second_gradients(groups: int, size: int, out: int) -> None:
    args = inputs(3, groups, size, out, torch.float64)
    assert torch.autograd.gradcheck(grouped_pointwise, args)
    assert torch.autograd.gradgradcheck(grouped_pointwise, args)


def test_registration_is_sound() -> None:
    args = inputs(5, 8, 8, 4, torch.float64)
    torch.library.opcheck(grouped_pointwise, args)
    torch.library.opcheck(grouped_pointwise, args[:2])
    torch.library.opcheck(grouped_pointwise_weight_grad, (args[3], args[0], 8))
    torch.library.opcheck(group_moments, (args[0], 8))


def test_a_wrong_width_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[N, 64\], got \[3, 32\]"):
        grouped_pointwise(torch.ones(3, 32), torch.ones(8, 4, 8))


@pytest.mark.parametrize("shape", [(40, 2, 8), (1000, 16, 4), (30, 3, 5), (2, 2, 8)])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_moments_are_mean_and_covariance(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    nodes, groups, size = shape
    # far from zero, where sums of squares would lose their digits
    x = (torch.randn(nodes, groups * size, dtype=dtype) + 30).requires_grad_()
    mean, cov = group_moments(x, groups)
    expected_mean = x.mean(0)
    parts = (x - expected_mean).unflatten(1, (groups, size))
    expected_cov = torch.einsum("nga,ngb->gab", parts, parts) / nodes
    close = {"rtol": TOLERANCE[dtype], "atol": 10 * TOLERANCE[dtype]}
    torch.testing.assert_close(mean, expected_mean, **close)
    torch.testing.assert_close(cov, expected_cov, **close)
    upstream = [torch.randn_like(mean), torch.randn_like(cov)]
    torch.testing.assert_close(
        torch.autograd.grad([mean, cov], x, upstream),
        torch.autograd.grad([expected_mean, expected_cov], x, upstream),
        **close,
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_of_moments(groups: int) -> None:
    x = torch.randn(5, 8 * groups, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: group_moments(x, groups), x)
    assert torch.autograd.gradgradcheck(lambda x: group_moments(x, groups), x)
