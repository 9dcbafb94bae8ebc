"""Mean and covariance of groups of channels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mgic_geo.kernels._dispatch import fused_for
from mgic_geo.kernels.pointwise import grouped_pointwise, mixes_pointwise


@torch.library.custom_op("mgic_geo::group_moments", mutates_args=())
def group_moments(x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    r"""Mean of every channel, and the covariance of the channels of a group.

    .. math::
        \mu_c = \frac{1}{N} \sum_n x_{n,c}, \qquad
        S_{g,a,b} = \frac{1}{N} \sum_n (x_{n,ga} - \mu_{ga}) (x_{n,gb} - \mu_{gb})

    They give the statistics of any grouped linear map of ``x`` without computing it: batch norm
    after a map by :math:`W_g` needs only :math:`W_g \mu_g` and the diagonal of
    :math:`W_g S_g W_g^T`.

    Args:
        x: Features ``[N, C]``.
        groups: Number of groups.

    Returns:
        ``[C]`` and ``[groups, C / groups, C / groups]``
    """
    size = x.size(1) // groups
    fused = fused_for(x)
    if fused is not None and mixes_pointwise(x, groups, size, size):
        plan = fused.pointwise_plan(groups, size, size, x.element_size())
        # Near the mean, so that the covariance loses no digits.
        shift = x[:: max(x.size(0) // 16, 1)].mean(0)
        total, product = fused.channel_moments(plan, x, shift)
        mean = (total / x.size(0)).view(groups, size)
        cov = product / x.size(0) - mean.unsqueeze(2) * mean.unsqueeze(1)
        return shift + mean.flatten(), cov
    mean = x.mean(0)
    parts = (x - mean).unflatten(1, (groups, size))
    return mean, torch.einsum("nga,ngb->gab", parts, parts) / x.size(0)


@group_moments.register_fake
def _(x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    size = x.size(1) // groups
    return x.new_empty(x.size(1)), x.new_empty(groups, size, size)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.groups = inputs[1]
    ctx.save_for_backward(inputs[0], output[0])


def _backward(ctx: Any, of_mean: Tensor, of_cov: Tensor) -> tuple[Tensor, None]:
    x, mean = ctx.saved_tensors
    weight = (of_cov + of_cov.transpose(1, 2)) / x.size(0)
    middle = (weight * mean.view(ctx.groups, 1, -1)).sum(2).flatten()
    return grouped_pointwise(x, weight.contiguous(), of_mean / x.size(0) - middle), None


group_moments.register_autograd(_backward, setup_context=_setup)
