"""Batch norm, ReLU and a residual in plain torch."""

from __future__ import annotations

from torch import Tensor


def norm_act_reference(
    y: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`~mgic_geo.kernels.norm_act` computes, in plain torch.

    Args:
        y: Features ``[N, C]``.
        weight: Scale, ``[C]``.
        bias: Shift, ``[C]``.
        residual: ``[N, C]`` or None, added last.
        eps: Added to the variance.
        relu: Cut off at 0 before the residual is added.

    Returns:
        The result ``[N, C]``, and mean and (biased) variance of ``y``, ``[C]``.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import norm_act_reference
        >>> y = torch.tensor([[1.0], [3.0]])
        >>> z, mean, var = norm_act_reference(y, torch.ones(1), torch.zeros(1), None, 0.0, True)
        >>> z.tolist(), mean.tolist(), var.tolist()
        ([[0.0], [1.0]], [2.0], [1.0])
    """
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
