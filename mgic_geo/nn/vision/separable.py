"""A light residual block: space by channel, then channels by pixel."""

from __future__ import annotations

import math

from torch import Tensor, nn

from mgic_geo.nn._reset import reset
from mgic_geo.nn.norm import Norm
from mgic_geo.nn.vision.conv import ConvNormAct


class SeparableBlock(nn.Module):
    r"""A separable convolution with a sum around it, :math:`\sigma(x + N K D x)`.

    :math:`D` is a depthwise 3x3 convolution and :math:`K` a 1x1 convolution in groups, without norm
    or activation between them. As a relaxation it costs :math:`9 + s_g` multiply-accumulates a
    channel and pixel; a 3x3 convolution in groups costs :math:`9 s_g`.

    Args:
        channels: Input and output channels.
        groups: Groups of :math:`K`.
        norm: As in :class:`~mgic_geo.nn.MGIC`.

    Shapes:
        - **input:** :math:`(B, C, H, W)`
        - **output:** :math:`(B, C, H, W)`

    Example:
        >>> import torch
        >>> from mgic_geo.nn.vision import SeparableBlock
        >>> block = SeparableBlock(64, groups=8)
        >>> block(torch.randn(1, 64, 4, 4)).shape
        torch.Size([1, 64, 4, 4])
        >>> block.depthwise.weight.numel() + block.pointwise.conv.weight.numel() == 64 * (9 + 8)
        True
    """

    def __init__(self, channels: int, groups: int = 1, norm: Norm = "batch") -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.pointwise = ConvNormAct(channels, channels, 1, 1, groups, norm=norm)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.depthwise.weight, 0.0, math.sqrt(2.0 / 9.0))
        reset(self.pointwise)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise(self.depthwise(x), x)
        return y
