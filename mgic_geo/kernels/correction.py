"""The correction of a grid by the next coarser one, with its norm folded in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mgic_geo.kernels._dispatch import fused_for
from mgic_geo.kernels.pointwise import grouped_pointwise_reference, mixes_pointwise


def correction_reference(
    fine: Tensor, delta: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`correction` computes, in plain torch."""
    z = grouped_pointwise_reference(delta, weight)
    mean = z.mean(0)
    var = (z - mean).square().mean(0)
    return fine + (z - mean) * (var + eps).rsqrt() * scale + shift, mean, var


def has_correction(delta: Tensor, groups: int, size: int, out: int) -> bool:
    """Whether :func:`correction` has compiled kernels for these groups."""
    widths = (size, out)
    return fused_for(delta) is not None and all(
        mixes_pointwise(delta, groups, size, width) for width in widths
    )


@torch.library.custom_op("mgic_geo::correction", mutates_args=())
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
    """
    groups, out, size = weight.shape
    if has_correction(delta, groups, size, out):
        done: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = fused_for(delta).correction_forward(
            fine, delta, weight, scale, shift, eps
        )
        return done
    center = delta.mean(0)
    parts = (delta - center).unflatten(1, (groups, size))
    spread = torch.einsum("nga,ngb->gab", parts, parts) / delta.size(0)
    mean = (weight * center.view(groups, 1, size)).sum(2).view(-1)
    var = (weight @ spread).mul_(weight).sum(2).view(-1).clamp_min_(0.0)
    factor = scale * (var + eps).rsqrt_()
    folded = weight * factor.view(groups, -1, 1)
    corrected = grouped_pointwise_reference(delta, folded, shift - mean * factor, fine)
    return corrected, mean, var, center, spread


@torch.library.custom_op("mgic_geo::correction_backward", mutates_args=())
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
    groups, out, size = weight.shape
    if has_correction(delta, groups, size, out):
        done: tuple[Tensor, Tensor, Tensor, Tensor] = fused_for(delta).correction_backward(
            grad, delta, weight, scale, mean, var, center, spread, eps
        )
        return done
    rows, of_shift = grad.size(0), grad.sum(0)
    parts = (t.unflatten(-1, (groups, -1)) for t in (grad, delta))
    outer = torch.einsum("ngo,ngi->goi", *parts)
    inverse = (var + eps).rsqrt()
    of_scale = ((outer * weight).sum(2).view(-1) - mean * of_shift) * inverse
    a = scale * inverse
    c = (a * inverse * of_scale / rows).view(groups, out, 1)
    k = (c.view(-1) * mean - a * of_shift / rows).view(groups, out, 1)
    a = a.view(groups, out, 1)
    center = center.view(groups, 1, size)
    square = rows * (spread + center.transpose(1, 2) * center)
    of_weight = a * outer - c * (weight @ square) + k * rows * center
    back = weight.transpose(1, 2)
    rest = grouped_pointwise_reference(delta, -(back @ (c * weight)), (back @ k).view(-1))
    of_delta = grouped_pointwise_reference(grad, back * a.transpose(1, 2), None, rest)
    return of_delta, of_weight, of_scale, of_shift


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
