"""Grouped pointwise maps in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


def grouped_pointwise_reference(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, residual: Tensor | None = None
) -> Tensor:
    """What :func:`~mgic_geo.kernels.grouped_pointwise` computes, in plain torch.

    Args:
        x: Features ``[*, C]``, with any number of leading axes.
        weight: ``[groups, C_out / groups, C / groups]``.
        bias: ``[C_out]``.
        residual: ``[*, C_out]``.

    Returns:
        ``[*, C_out]``

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import grouped_pointwise_reference
        >>> weight = torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]])  # 2 groups, from 4 channels to 2
        >>> grouped_pointwise_reference(torch.tensor([1.0, 2.0, 3.0, 4.0]), weight).tolist()
        [3.0, -1.0]
    """
    groups, _, size = weight.shape
    if groups == 1:
        y = torch.nn.functional.linear(x, weight[0])
    else:
        y = torch.einsum("...gi,goi->...go", x.unflatten(-1, (groups, size)), weight).flatten(-2)
    if bias is not None:
        y = y + bias
    return y if residual is None else y + residual


def weight_grad_reference(grad: Tensor, x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Gradients of weight and bias."""
    parts = (t.unflatten(-1, (groups, -1)) for t in (grad, x))
    return torch.einsum("ngo,ngi->goi", *parts), grad.sum(0)
