"""Grouped pointwise maps of node features."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mgic_geo.kernels.checks import check_alike, check_features, check_shape
from mgic_geo.kernels.dispatch import backend_for, lanes
from mgic_geo.kernels.operator import operator
from mgic_geo.kernels.pointwise.reference import (
    grouped_pointwise_reference,
    weight_grad_reference,
)

__all__ = [
    "grouped_pointwise",
    "grouped_pointwise_reference",
    "grouped_pointwise_weight_grad",
    "mixes_pointwise",
]

# Larger groups are left to matrix products.
_LARGEST_GROUP = 32


def mixes_pointwise(x: Tensor, groups: int, size: int, out: int) -> bool:
    """Whether :func:`grouped_pointwise` has fused loops for these groups of ``x``.

    On the CPU a whole number of groups has to fill whole registers, on both sides.
    """
    if not 0 < min(size, out) <= max(size, out) <= _LARGEST_GROUP:
        return False
    width = lanes(x)
    if width == 0:
        return backend_for(x) == "gpu"
    if any(width % s if s < width else s % width for s in (size, out)):
        return False
    return groups % max(width // math.gcd(size, width), width // math.gcd(out, width)) == 0


def _check(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None
) -> None:
    if weight.dim() != 3 or not weight.size(0):
        raise ValueError(f"weight must be [groups, out, in], got {list(weight.shape)}")
    groups, out, size = weight.shape
    check_features(x, groups * size)
    check_shape("bias", bias, [groups * out])
    check_shape("residual", residual, [x.size(0), groups * out])
    check_alike(x, weight=weight, bias=bias, residual=residual)


@operator(grouped_pointwise_reference, _check)
def grouped_pointwise(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None
) -> Tensor:
    r"""A block-diagonal linear map, with two additions while the result is in registers.

    .. math::
        y_{n, g o} = \sum_i W_{g o i} \, x_{n, g i} + b_{g o} + r_{n, g o}

    Args:
        x: Features ``[N, C]``.
        weight: ``[groups, C_out / groups, C / groups]``.
        bias: ``[C_out]``.
        residual: ``[N, C_out]``.

    Returns:
        ``[N, C_out]``

    Raises:
        ValueError: Shapes, types or devices do not fit.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import grouped_pointwise
        >>> x, weight = torch.randn(5, 8), torch.randn(2, 6, 4)  # 2 groups, from 8 channels to 12
        >>> y = grouped_pointwise(x, weight)
        >>> torch.allclose(y, x @ torch.block_diag(*weight).T, atol=1e-5)
        True
    """
    groups, out, size = weight.shape
    _check(x, weight, bias, residual)
    if not mixes_pointwise(x, groups, size, out):
        return grouped_pointwise_reference(x, weight, bias, residual).contiguous()
    if backend_for(x) == "gpu":
        from mgic_geo.kernels.pointwise import gpu

        y = gpu.grouped_pointwise_forward(x, weight)
        if bias is not None:
            y += bias
        return y if residual is None else y.add_(residual)
    from mgic_geo.kernels.pointwise import cpu

    plan = cpu.pointwise_plan(groups, size, out, x.element_size())
    return cpu.pointwise_forward(plan, x, weight.transpose(1, 2), bias, residual)


def _check_weight_grad(grad: Tensor, x: Tensor, groups: int) -> None:
    if groups < 1 or x.dim() != 2 or grad.dim() != 2 or x.size(1) % groups or grad.size(1) % groups:
        raise ValueError(
            f"grad {list(grad.shape)} and x {list(x.shape)} do not go into {groups} groups"
        )
    check_shape("grad", grad, [x.size(0), grad.size(1)])
    check_alike(x, grad=grad)


@operator(weight_grad_reference, _check_weight_grad)
def grouped_pointwise_weight_grad(grad: Tensor, x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`grouped_pointwise` with respect to its weight and its bias."""
    _check_weight_grad(grad, x, groups)
    size, out = x.size(1) // groups, grad.size(1) // groups
    if not mixes_pointwise(x, groups, size, out):
        of_weight, of_bias = weight_grad_reference(grad, x, groups)
        return of_weight.contiguous(), of_bias
    if backend_for(x) == "gpu":
        from mgic_geo.kernels.pointwise import gpu

        return gpu.grouped_pointwise_weight_grad(grad, x, groups), grad.sum(0)
    from mgic_geo.kernels.pointwise import cpu

    plan = cpu.pointwise_plan(groups, size, out, x.element_size())
    of_weight, of_bias = cpu.pointwise_backward(plan, grad, x)
    return of_weight.transpose(1, 2).contiguous(), of_bias.contiguous()


@grouped_pointwise.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None = None, *_: Any) -> Tensor:
    return x.new_empty(x.size(0), weight.size(0) * weight.size(1))


@grouped_pointwise_weight_grad.register_fake
def _(grad: Tensor, x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    of_weight = x.new_empty(groups, grad.size(1) // groups, x.size(1) // groups)
    return of_weight, x.new_empty(grad.size(1))


def _transposed(weight: Tensor) -> Tensor:
    return weight.transpose(1, 2).contiguous()


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight = ctx.saved_tensors
    needs = (*ctx.needs_input_grad, False, False)  # arguments left to their defaults have no entry
    grad = grad.contiguous()
    of_weight = of_bias = None
    if needs[1] or needs[2]:
        of_weight, of_bias = grouped_pointwise_weight_grad(grad, x, weight.size(0))
    return (
        grouped_pointwise(grad, _transposed(weight)) if needs[0] else None,
        of_weight if needs[1] else None,
        of_bias if needs[2] else None,
        grad if needs[3] else None,
    )


grouped_pointwise.register_autograd(_backward, setup_context=_setup)


def _setup_weight_grad(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def _backward_weight_grad(ctx: Any, v: Tensor, b: Tensor) -> tuple[Tensor | None, ...]:
    grad, x = ctx.saved_tensors
    return grouped_pointwise(x, v.contiguous(), b), grouped_pointwise(grad, _transposed(v)), None


grouped_pointwise_weight_grad.register_autograd(
    _backward_weight_grad, setup_context=_setup_weight_grad
)


# Two flops are one multiply-accumulate, as torch counts its own operators.
@register_flop_formula(grouped_pointwise.op.overloadpacket)
def _flops(x: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * x[0] * weight.numel()


@register_flop_formula(grouped_pointwise_weight_grad.op.overloadpacket)
def _flops_weight_grad(grad: torch.Size, x: torch.Size, groups: int, **_: Any) -> int:
    return 2 * x[0] * x[1] * grad[1] // groups
