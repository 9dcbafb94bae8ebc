"""Grouped pointwise maps of node features."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mgic_geo.kernels._dispatch import fused_for, lanes, triton_for

# Larger groups are left to matrix products.
_LARGEST_GROUP = 32


def grouped_pointwise_reference(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None
) -> Tensor:
    """What :func:`grouped_pointwise` computes, in plain torch; any number of leading axes."""
    groups, _, size = weight.shape
    if groups == 1:
        y = torch.nn.functional.linear(x, weight[0])
    else:
        y = torch.einsum("...gi,goi->...go", x.unflatten(-1, (groups, size)), weight).flatten(-2)
    if bias is not None:
        y = y + bias
    return y if residual is None else y + residual


def mixes_pointwise(x: Tensor, groups: int, size: int, out: int) -> bool:
    """Whether :func:`grouped_pointwise` has a compiled kernel for these groups of ``x``.

    On the CPU a whole number of groups has to fill whole registers, on both sides.
    """
    if max(size, out) > _LARGEST_GROUP:
        return False
    width = lanes(x)
    if width == 0:
        return triton_for(x) is not None
    if any(width % s if s < width else s % width for s in (size, out)):
        return False
    return groups % max(width // math.gcd(size, width), width // math.gcd(out, width)) == 0


@torch.library.custom_op("mgic_geo::grouped_pointwise", mutates_args=())
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
    """
    groups, out, size = weight.shape
    if x.dim() != 2 or x.size(1) != groups * size:
        raise ValueError(f"x must be [N, {groups * size}], got {list(x.shape)}")
    if not mixes_pointwise(x, groups, size, out):
        y = grouped_pointwise_reference(x, weight, bias, residual)
        return y.clone() if y is residual else y
    if (gpu := triton_for(x)) is not None:
        on_gpu: Tensor = gpu.grouped_pointwise_forward(x, weight)
        if bias is not None:
            on_gpu += bias
        return on_gpu if residual is None else on_gpu.add_(residual)
    fused = fused_for(x)
    plan = fused.pointwise_plan(groups, size, out, x.element_size())
    done: Tensor = fused.pointwise_forward(plan, x, weight.transpose(1, 2), bias, residual)
    return done


@torch.library.custom_op("mgic_geo::grouped_pointwise_weight_grad", mutates_args=())
def grouped_pointwise_weight_grad(grad: Tensor, x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`grouped_pointwise` with respect to its weight and its bias."""
    size, out = x.size(1) // groups, grad.size(1) // groups
    if not mixes_pointwise(x, groups, size, out):
        parts = (t.unflatten(-1, (groups, -1)) for t in (grad, x))
        return torch.einsum("ngo,ngi->goi", *parts), grad.sum(0)
    if (gpu := triton_for(x)) is not None:
        return gpu.grouped_pointwise_weight_grad(grad, x, groups), grad.sum(0)
    fused = fused_for(x)
    plan = fused.pointwise_plan(groups, size, out, x.element_size())
    of_weight, of_bias = fused.pointwise_backward(plan, grad, x)
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
