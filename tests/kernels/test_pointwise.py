from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mgic_geo.kernels import (
    dispatch,
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


@pytest.mark.skipif(not dispatch.COMPILED, reason="no compiled kernels here")
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
    torch.library.opcheck(grouped_pointwise.op, args)
    torch.library.opcheck(grouped_pointwise.op, args[:2])
    torch.library.opcheck(grouped_pointwise_weight_grad.op, (args[3], args[0], 8))


def test_a_wrong_width_is_named() -> None:
    with pytest.raises(ValueError, match=r"\[N, 64\], got \[3, 32\]"):
        grouped_pointwise(torch.ones(3, 32), torch.ones(8, 4, 8))
