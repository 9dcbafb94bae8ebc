"""Light maps that change the channels (or the resolution) ahead of an MGIC block."""

from __future__ import annotations

import math

from torch import Tensor, nn

from mgic_geo.nn._reset import reset
from mgic_geo.nn.mlp import DenseBlock
from mgic_geo.nn.norm import Norm, make_norm


class PointwiseShortcut(DenseBlock):
    r"""Changes the number of channels with a pointwise map and a norm, :math:`N(W x)`.

    The alternative that `MGIC <https://arxiv.org/abs/2011.09128>`_, section 3.3, names beside the
    depthwise 3x3 convolution; on nodes, which have no stencil, it is the only one.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        groups: Groups of the map; 1 is dense.
        norm: As in :class:`~mgic_geo.nn.MGIC`.
        channel_axis: ``-1`` for nodes, ``1`` for images.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int = 1,
        norm: Norm = "batch",
        channel_axis: int = -1,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            groups,
            norm,
            bias=False,
            act=None,
            channel_axis=channel_axis,
        )


class DepthwiseShortcut(nn.Module):
    r"""Changes channels and resolution of images with a grouped 3x3 convolution and a norm.

    One filter an input channel where the output channels are a multiple of them (depthwise, with a
    multiplier), else as many groups as both numbers allow.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        stride: Stride in both directions.
        norm: As in :class:`~mgic_geo.nn.MGIC`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        groups = math.gcd(in_channels, out_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, groups=groups, bias=False)
        self.norm = make_norm(norm, out_channels, channel_axis=1)

    def reset_parameters(self) -> None:
        reset(self.conv)
        reset(self.norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))
