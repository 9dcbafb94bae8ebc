"""Light maps that change the channels (or the resolution) ahead of an MGIC block."""

from __future__ import annotations

import math

from torch import Tensor, nn

from mgic_geo.nn._reset import reset
from mgic_geo.nn.mlp import DenseBlock
from mgic_geo.nn.norm import Norm, make_norm


class PointwiseShortcut(DenseBlock):
    r"""Changes the number of channels with a pointwise map and a norm, :math:`N(W x)`.

    Section 3.3 of `MGIC <https://arxiv.org/abs/2011.09128>`_ puts such a map, or a depthwise 3x3
    convolution, ahead of a block whose width changes. Nodes have no stencil: they take this one.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        groups: Groups of the map; 1 is dense.
        norm: As in :class:`~mgic_geo.nn.MGIC`.
        channel_axis: ``-1`` for nodes, ``1`` for images.

    Shapes:
        - **input:** :math:`(*, C_{in})`, or :math:`(B, C_{in}, H, W)` with ``channel_axis=1``
        - **output:** :math:`(*, C_{out})` or :math:`(B, C_{out}, H, W)`

    Example:
        >>> import torch
        >>> from mgic_geo.nn import PointwiseShortcut
        >>> PointwiseShortcut(16, 64)(torch.randn(5, 16)).shape
        torch.Size([5, 64])
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

    It has as many groups as both channel numbers allow, their greatest common divisor. Where the
    output channels are a multiple of the input channels, it is depthwise: an output channel sees
    one input channel. Section 3.3 of `MGIC <https://arxiv.org/abs/2011.09128>`_.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        stride: Stride in both directions.
        norm: As in :class:`~mgic_geo.nn.MGIC`.

    Shapes:
        - **input:** :math:`(B, C_{in}, H, W)`
        - **output:** :math:`(B, C_{out}, \lceil H / s \rceil, \lceil W / s \rceil)` with stride
          :math:`s`

    Example:
        >>> import torch
        >>> from mgic_geo.nn import DepthwiseShortcut
        >>> layer = DepthwiseShortcut(16, 32, stride=2)
        >>> layer(torch.randn(1, 16, 8, 8)).shape
        torch.Size([1, 32, 4, 4])
        >>> layer.conv.weight.numel()  # 9 for an output channel; a dense 3x3 convolution has 4608
        288
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
