"""Batch norm, ReLU and a residual as one operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mgic_geo.kernels.checks import check_alike, check_features, check_shape
from mgic_geo.kernels.dispatch import lanes
from mgic_geo.kernels.norm_act.reference import norm_act_backward_reference, norm_act_reference
from mgic_geo.kernels.operator import operator

__all__ = [
    "has_norm_act",
    "norm_act",
    "norm_act_backward",
    "norm_act_reference",
]


def has_norm_act(y: Tensor) -> bool:
    """Whether :func:`norm_act` has a compiled kernel for ``y``."""
    width = lanes(y)
    return y.dim() == 2 and width > 0 and y.size(1) % width == 0


def _check(
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    eps: float = 0.0,
    relu: bool = False,
) -> None:
    channels = weight.numel()
    check_features(y, channels, "y")
    for name, t in (("weight", weight), ("bias", bias)):
        check_shape(name, t, [channels])
    check_shape("residual", residual, list(y.shape))
    check_alike(y, weight=weight, bias=bias, residual=residual)


@operator(norm_act_reference, _check)
def norm_act(
    y: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Batch norm in training, then a ReLU and a residual if asked.

    .. math::
        z = \sigma\left( \gamma \frac{y - \mu}{\sqrt{v + \epsilon}} + \beta \right) + r

    with the mean :math:`\mu` and the (biased) variance :math:`v` of the batch.

    Args:
        y: Features ``[N, C]``.
        weight: Scale :math:`\gamma`, ``[C]``.
        bias: Shift :math:`\beta`, ``[C]``.
        residual: ``[N, C]`` or None.
        eps: Added to the variance.
        relu: Whether :math:`\sigma` is the ReLU; else the identity.

    Returns:
        :math:`z` ``[N, C]``, and the mean and the variance ``[C]``, which have no gradient.

    Raises:
        ValueError: Shapes, types or devices do not fit.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import norm_act
        >>> y = torch.randn(6, 8)
        >>> scale, shift = torch.ones(8), torch.zeros(8)
        >>> z, mean, var = norm_act(y, scale, shift, None, 1e-5, False)
        >>> expected = torch.nn.functional.batch_norm(y, None, None, scale, shift, training=True)
        >>> torch.allclose(z, expected, atol=1e-5), torch.allclose(mean, y.mean(0), atol=1e-6)
        (True, True)
    """
    _check(y, weight, bias, residual)
    if has_norm_act(y) and y.size(0):
        from mgic_geo.kernels.norm_act import cpu

        return cpu.norm_act_forward(y, weight, bias, residual, eps, relu)
    out, mean, var = norm_act_reference(y, weight, bias, residual, eps, relu)
    return out.contiguous(), mean, var


@operator(norm_act_backward_reference)
def norm_act_backward(
    grad: Tensor,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`norm_act` with respect to ``y``, ``weight`` and ``bias``."""
    _check(y, weight, bias, grad)
    for name, t in (("mean", mean), ("var", var)):
        check_shape(name, t, list(weight.shape))
    check_alike(y, mean=mean, var=var)
    if has_norm_act(y) and y.size(0):
        from mgic_geo.kernels.norm_act import cpu

        return cpu.norm_act_backward(grad, y, weight, bias, mean, var, eps, relu)
    of_y, of_weight, of_bias = norm_act_backward_reference(
        grad, y, weight, bias, mean, var, eps, relu
    )
    return of_y.contiguous(), of_weight, of_bias


@norm_act.register_fake
def _(y: Tensor, weight: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return y.new_empty(y.shape), torch.empty_like(weight), torch.empty_like(weight)


@norm_act_backward.register_fake
def _(grad: Tensor, y: Tensor, weight: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return y.new_empty(y.shape), torch.empty_like(weight), torch.empty_like(weight)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    y, weight, bias, _, ctx.eps, ctx.relu = inputs
    _, mean, var = output
    ctx.mark_non_differentiable(mean, var)
    ctx.save_for_backward(y, weight, bias, mean, var)


def _backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    of_y, of_weight, of_bias = norm_act_backward(
        grad.contiguous(), *ctx.saved_tensors, ctx.eps, ctx.relu
    )
    return of_y, of_weight, of_bias, grad if ctx.needs_input_grad[3] else None, None, None


norm_act.register_autograd(_backward, setup_context=_setup)


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.eps, ctx.relu = inputs
    ctx.save_for_backward(*tensors)


def _backward_backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
    """The statistics depend on y, so that they are taken anew."""
    grad, y, weight, bias, *_ = ctx.saved_tensors
    with torch.enable_grad():
        grad, y, weight, bias = inputs = [
            t.detach().requires_grad_() for t in (grad, y, weight, bias)
        ]
        mean = y.mean(0)
        var = (y - mean).square().mean(0)
        found = norm_act_backward_reference(grad, y, weight, bias, mean, var, ctx.eps, ctx.relu)
        back = torch.autograd.grad(found, inputs, upstream, allow_unused=True)
    return *back, *([None] * 4)


norm_act_backward.register_autograd(_backward_backward, setup_context=_setup_backward)


@register_flop_formula([norm_act.op.overloadpacket, norm_act_backward.op.overloadpacket])
def _flops(*_: Any, **__: Any) -> int:
    return 0
