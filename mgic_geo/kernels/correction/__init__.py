"""The correction of a grid by the next coarser one, with its norm folded in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mgic_geo.kernels.checks import check_alike, check_features, check_shape
from mgic_geo.kernels.correction.reference import (
    correction_backward_by_moments,
    correction_by_moments,
    correction_reference,
)
from mgic_geo.kernels.dispatch import takes_compiled
from mgic_geo.kernels.operator import operator
from mgic_geo.kernels.pointwise import mixes_pointwise

__all__ = [
    "correction",
    "correction_backward",
    "correction_reference",
    "has_correction",
]


def has_correction(delta: Tensor, groups: int, size: int, out: int) -> bool:
    """Whether :func:`correction` has compiled kernels for these groups."""
    widths = (size, out)
    return takes_compiled(delta) and all(
        mixes_pointwise(delta, groups, size, width) for width in widths
    )


def _check(
    fine: Tensor, delta: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, eps: float = 0.0
) -> None:
    if weight.dim() != 3 or not weight.numel():
        raise ValueError(f"weight must be [groups, out, in], got {list(weight.shape)}")
    groups, out, size = weight.shape
    check_features(delta, groups * size, "delta")
    check_shape("fine", fine, [delta.size(0), groups * out])
    for name, t in (("scale", scale), ("shift", shift)):
        check_shape(name, t, [groups * out])
    check_alike(delta, fine=fine, weight=weight, scale=scale, shift=shift)


@operator(correction_by_moments, _check)
def correction(
    fine: Tensor, delta: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    r"""Features plus the batch norm of a grouped map.

    .. math::
        u = x + \gamma \frac{W d - \mu}{\sqrt{v + \epsilon}} + \beta

    The statistics of :math:`W d` follow from the mean :math:`m` of :math:`d` and from its
    covariance :math:`S` within the groups: :math:`\mu = W m` and :math:`v = \mathrm{diag}(W S W^T)`
    (biased). So :math:`W d` is never written to memory: the norm folds into the map.

    Args:
        fine: :math:`x`, ``[N, C]``.
        delta: :math:`d`, ``[N, C_in]``.
        weight: :math:`W`, ``[groups, C / groups, C_in / groups]``.
        scale: :math:`\gamma`, ``[C]``.
        shift: :math:`\beta`, ``[C]``.
        eps: Added to the variance.

    Returns:
        :math:`u`; then without gradients :math:`\mu` and :math:`v` ``[C]``, :math:`m` ``[C_in]``
        and :math:`S` ``[groups, C_in / groups, C_in / groups]``

    Raises:
        ValueError: Shapes, types or devices do not fit.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import correction
        >>> fine, delta = torch.randn(6, 8), torch.randn(6, 4)
        >>> weight = torch.rand(2, 4, 2)  # 2 groups, from 4 channels to 8
        >>> u, *_ = correction(fine, delta, weight, torch.zeros(8), torch.zeros(8), 1e-5)
        >>> torch.equal(u, fine)  # a scale of 0 corrects nothing
        True
    """
    _check(fine, delta, weight, scale, shift)
    groups, out, size = weight.shape
    if has_correction(delta, groups, size, out) and delta.size(0):
        from mgic_geo.kernels.correction import cpu

        return cpu.correction_forward(fine, delta, weight, scale, shift, eps)
    return correction_by_moments(fine, delta, weight, scale, shift, eps)


@operator(correction_backward_by_moments)
def correction_backward(
    grad: Tensor,
    delta: Tensor,
    weight: Tensor,
    scale: Tensor,
    mean: Tensor,
    var: Tensor,
    center: Tensor,
    spread: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""Gradients of :func:`correction` with respect to ``delta``, ``weight``, ``scale``, ``shift``.

    The gradient of :math:`z = W d` is :math:`a g - c z + k` with a number of each a channel, so it
    is not written to memory either: that of ``delta`` is a map of :math:`g` plus a map of
    :math:`d`, and that of ``weight`` follows from the moments of :math:`d` and of :math:`g d^T`.
    """
    _check(grad, delta, weight, scale, mean)
    groups, out, size = weight.shape
    check_shape("var", var, [groups * out])
    check_shape("center", center, [groups * size])
    check_shape("spread", spread, [groups, size, size])
    check_alike(delta, var=var, center=center, spread=spread)
    if has_correction(delta, groups, size, out) and delta.size(0):
        from mgic_geo.kernels.correction import cpu

        return cpu.correction_backward(grad, delta, weight, scale, mean, var, center, spread, eps)
    return correction_backward_by_moments(
        grad, delta, weight, scale, mean, var, center, spread, eps
    )


@correction.register_fake
def _(
    fine: Tensor, delta: Tensor, weight: Tensor, scale: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    groups, _out, size = weight.shape
    like = torch.empty_like(scale)
    center = delta.new_empty(delta.size(1))
    return (
        fine.new_empty(fine.shape),
        like,
        like.clone(),
        center,
        delta.new_empty(groups, size, size),
    )


@correction_backward.register_fake
def _(
    grad: Tensor, delta: Tensor, weight: Tensor, scale: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    like = torch.empty_like(scale)
    return delta.new_empty(delta.shape), weight.new_empty(weight.shape), like, like.clone()


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, delta, weight, scale, _, ctx.eps = inputs
    statistics = output[1:]
    ctx.mark_non_differentiable(*statistics)
    ctx.save_for_backward(delta, weight, scale, *statistics)


def _backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    given = correction_backward(grad.contiguous(), *ctx.saved_tensors, ctx.eps)
    return grad, *given, None


correction.register_autograd(_backward, setup_context=_setup)


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.eps = inputs[-1]
    ctx.save_for_backward(*inputs[:4])


def _backward_backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
    """The statistics depend on delta and weight, so that all is taken anew in plain torch."""
    with torch.enable_grad():
        grad, delta, weight, scale = inputs = [
            t.detach().requires_grad_() for t in ctx.saved_tensors
        ]
        shift = torch.zeros_like(scale).requires_grad_()
        zero = torch.zeros_like(grad)
        out, _, _ = correction_reference(zero, delta, weight, scale, shift, ctx.eps)
        found = torch.autograd.grad(out, [delta, weight, scale, shift], grad, create_graph=True)
        back = torch.autograd.grad(found, inputs, upstream, allow_unused=True)
    return *back, *([None] * 5)


correction_backward.register_autograd(_backward_backward, setup_context=_setup_backward)


@register_flop_formula(correction.op.overloadpacket)
def _flops(fine: torch.Size, delta: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * delta[0] * weight.numel()


@register_flop_formula(correction_backward.op.overloadpacket)
def _flops_backward(
    grad: torch.Size, delta: torch.Size, weight: torch.Size, *_: Any, **__: Any
) -> int:
    return 4 * delta[0] * weight.numel()
