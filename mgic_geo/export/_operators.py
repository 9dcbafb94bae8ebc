"""Weights of derivative operators on graphs whose nodes all have k neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels.derivatives.least_squares import RIDGE, symmetric_inverse


def average_weights(offset: Tensor) -> Tensor:
    """``fit="average"`` of :class:`~mgic_geo.graph.DifferentialOperators`, ``[N, k, 6]``.

    Args:
        offset: From each node to its neighbours, ``[N, k, 3]``.
    """
    length = offset.square().sum(dim=-1, keepdim=True).sqrt()
    direction = offset / length.clamp_min(torch.finfo(offset.dtype).tiny ** 0.5)
    return torch.cat([direction, direction.square()], dim=-1) / offset.size(1)


def least_squares_weights(offset: Tensor) -> Tensor:
    """:func:`~mgic_geo.kernels.derivatives.least_squares.least_squares_derivatives`, ``[N, k, 6]``.

    Args:
        offset: From each node to its neighbours, ``[N, k, 3]``.
    """
    tiny = torch.finfo(offset.dtype).tiny
    squares = offset.square().sum(dim=-1)
    there = (squares > 0.0).to(offset.dtype)
    mean = squares.sum(dim=1) / there.sum(dim=1).clamp_min(1.0)
    u = offset * mean.clamp_min(tiny).rsqrt()[:, None, None]
    near = there * (-u.square().sum(dim=-1)).exp()
    weight = (near / near.sum(dim=1, keepdim=True).clamp_min(tiny)).unsqueeze(-1)
    moments = (weight * u).transpose(1, 2) @ u
    ridge = RIDGE * moments.diagonal(dim1=1, dim2=2).sum(dim=1)
    eye = torch.eye(3, dtype=u.dtype, device=u.device)
    system = moments + ridge.clamp_min(tiny)[:, None, None] * eye
    gradient = (weight * u) @ symmetric_inverse(system).transpose(1, 2)
    cosines = u.square() / u.square().sum(dim=-1, keepdim=True).clamp_min(tiny)
    second = weight * cosines
    lean = second.transpose(1, 2) @ u
    second = second - gradient @ lean.transpose(1, 2)
    return torch.cat([gradient, second], dim=-1)
