"""Grouped pointwise maps on a chosen channel axis."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo import kernels
from mgic_geo.kernels.pointwise import mixes_pointwise
from mgic_geo.nn._rows import as_image, as_rows


def grouped_pointwise(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, channel_axis: int = -1
) -> Tensor:
    r"""Applies a block-diagonal linear map to the channels of ``x``.

    .. math::
        y_{g s + o} = \sum_i W_{g o i} \, x_{g t + i} + b_{g s + o}

    Args:
        x: Features, ``[*, C_in]`` with ``channel_axis=-1`` or ``[B, C_in, *]`` with ``1``.
        weight: ``[groups, C_out / groups, C_in / groups]``.
        bias: ``[C_out]``.
        channel_axis: ``-1`` or ``1``.

    Returns:
        ``[*, C_out]`` or ``[B, C_out, *]``.
    """
    groups, out, size = weight.shape
    fits = groups > 1 and x.dtype == weight.dtype and mixes_pointwise(x, groups, size, out)
    if channel_axis == 1:
        if fits and (rows := as_rows(x)) is not None:
            return as_image(kernels.grouped_pointwise(rows, weight, bias), x)
        kernel = weight.reshape(groups * out, size, 1)
        if x.dim() == 4:  # keeps channels_last
            return F.conv2d(x, kernel.unsqueeze(-1), bias, groups=groups)
        return F.conv1d(x.flatten(2), kernel, bias, groups=groups).unflatten(-1, x.shape[2:])
    if fits:
        y: Tensor = kernels.grouped_pointwise(x.reshape(-1, groups * size), weight, bias)
        return y.view(*x.shape[:-1], groups * out)
    return kernels.grouped_pointwise_reference(x, weight, bias)


class GroupedPointwise(nn.Module):
    r"""A learned pointwise (1x1) map in groups: each group of outputs sees its group of inputs.

    .. math::
        y = \operatorname{blockdiag}(W_1, \ldots, W_G) \, x + b

    It has ``in_channels * out_channels / groups`` weights; ``groups=1`` is ``torch.nn.Linear``.

    Args:
        in_channels: Input channels, a multiple of ``groups``.
        out_channels: Output channels, a multiple of ``groups``.
        groups: Number of groups :math:`G`.
        bias: Learn an additive bias.
        channel_axis: ``-1`` for node features ``[*, C]``, ``1`` for images ``[B, C, *]``.

    Shapes:
        - **input:** :math:`(*, C_{in})`, or :math:`(B, C_{in}, *)` with ``channel_axis=1``
        - **output:** :math:`(*, C_{out})` or :math:`(B, C_{out}, *)`

    Raises:
        ValueError: A channel number is no multiple of ``groups``, or ``channel_axis`` is another.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import GroupedPointwise
        >>> layer = GroupedPointwise(16, 32, groups=4)
        >>> layer(torch.randn(5, 16)).shape, layer.weight.numel()  # 16 * 32 / 4 weights
        (torch.Size([5, 32]), 128)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int = 1,
        bias: bool = True,
        channel_axis: int = -1,
    ) -> None:
        super().__init__()
        check_groups(groups, in_channels=in_channels, out_channels=out_channels)
        if channel_axis not in (-1, 1):
            raise ValueError(f"channel_axis = {channel_axis}: use -1 (nodes) or 1 (images)")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.groups = groups
        self.channel_axis = channel_axis
        self.weight = nn.Parameter(
            torch.empty(groups, out_channels // groups, in_channels // groups)
        )
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform with the fan-in of a group, as ``torch.nn.Linear``."""
        bound = 1.0 / math.sqrt(self.in_channels // self.groups)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return grouped_pointwise(x, self.weight, self.bias, self.channel_axis)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, groups={self.groups}, "
            f"bias={self.bias is not None}, channel_axis={self.channel_axis}"
        )


def check_groups(groups: int, **channels: int) -> None:
    """Raises ``ValueError`` where a channel number is not a positive multiple of ``groups``."""
    if groups < 1:
        raise ValueError(f"groups = {groups}: it must be at least 1")
    for name, value in channels.items():
        if value < 1 or value % groups:
            near = max(round(value / groups), 1) * groups
            raise ValueError(
                f"{name} = {value} is no positive multiple of groups = {groups}; "
                f"the nearest that works is {near}"
            )
