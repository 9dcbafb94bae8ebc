"""The correction of a grid in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels.pointwise.reference import grouped_pointwise_reference


def correction_reference(
    fine: Tensor, delta: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`~mgic_geo.kernels.correction` computes, in plain torch.

    Args:
        fine: Features that are corrected, ``[N, C]``.
        delta: Change of the coarse features, ``[N, C_in]``.
        weight: Prolongation, ``[groups, C / groups, C_in / groups]``.
        scale: Scale of the norm, ``[C]``.
        shift: Its shift, ``[C]``.
        eps: Added to the variance.

    Returns:
        The corrected features ``[N, C]``; mean and (biased) variance of the prolonged change,
        ``[C]``.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import correction, correction_reference
        >>> fine, delta, weight = torch.randn(6, 8), torch.randn(6, 4), torch.rand(2, 4, 2)
        >>> call = fine, delta, weight, torch.ones(8), torch.zeros(8), 1e-5
        >>> torch.allclose(correction(*call)[0], correction_reference(*call)[0], atol=1e-3)
        True
    """
    z = grouped_pointwise_reference(delta, weight)
    mean = z.mean(0)
    var = (z - mean).square().mean(0)
    return fine + (z - mean) * (var + eps).rsqrt() * scale + shift, mean, var


def correction_by_moments(
    fine: Tensor, delta: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """:func:`correction_reference` by the moments of ``delta``, which come along."""
    groups, _, size = weight.shape
    center = delta.mean(0)
    parts = (delta - center).unflatten(1, (groups, size))
    spread = torch.einsum("nga,ngb->gab", parts, parts) / delta.size(0)
    mean = (weight * center.view(groups, 1, size)).sum(2).view(-1)
    var = (weight @ spread).mul(weight).sum(2).view(-1).clamp_min(0.0)
    factor = scale * (var + eps).rsqrt()
    folded = weight * factor.view(groups, -1, 1)
    corrected = grouped_pointwise_reference(delta, folded, shift - mean * factor, fine)
    return corrected.contiguous(), mean, var, center, spread.contiguous()


def correction_backward_by_moments(
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
    """Gradients of ``delta``, ``weight``, ``scale`` and ``shift``."""
    groups, out, size = weight.shape
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
    return of_delta.contiguous(), of_weight.contiguous(), of_scale, of_shift
