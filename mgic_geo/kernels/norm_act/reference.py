"""Batch norm, ReLU and a residual in plain torch."""

from __future__ import annotations

from torch import Tensor


def norm_act_reference(
    y: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`~mgic_geo.kernels.norm_act` computes, in plain torch."""
    mean = y.mean(0)
    var = (y - mean).square().mean(0)
    out = (y - mean) * (var + eps).rsqrt() * weight + bias
    if relu:
        out = out.relu()
    return out if residual is None else out + residual, mean, var


def norm_act_backward_reference(
    grad: Tensor,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``y``, ``weight`` and ``bias``."""
    inverse = (var + eps).rsqrt()
    unit = (y - mean) * inverse
    if relu:
        grad = grad * (unit * weight + bias > 0)
    of_weight, of_bias = (grad * unit).sum(0), grad.sum(0)
    of_y = weight * inverse * (grad - (of_bias + unit * of_weight) / y.size(0))
    return of_y, of_weight, of_bias
