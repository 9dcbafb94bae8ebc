"""Residual blocks."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo.nn._reset import reset
from mgic_geo.nn.norm import Norm
from mgic_geo.nn.vision.conv import ConvNormAct


class PadShortcut(nn.Module):
    r"""Takes every ``stride``-th pixel and adds channels of zeros; it has no parameters.

    Option A of `"Deep Residual Learning for Image Recognition" <https://arxiv.org/abs/1512.03385>`_.

    Args:
        in_channels: Input channels.
        out_channels: Output channels, at least as many.
        stride: Stride in both directions.

    Shapes:
        - **input:** :math:`(B, C_{in}, H, W)`
        - **output:** :math:`(B, C_{out}, \lceil H / s \rceil, \lceil W / s \rceil)` with stride
          :math:`s`

    Raises:
        ValueError: ``out_channels`` is below ``in_channels``.

    Example:
        >>> import torch
        >>> from mgic_geo.nn.vision import PadShortcut
        >>> y = PadShortcut(2, 4, stride=2)(torch.ones(1, 2, 4, 4))
        >>> y.shape, y[0, :, 0, 0].tolist()  # zeros on both sides
        (torch.Size([1, 4, 2, 2]), [0.0, 1.0, 1.0, 0.0])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise ValueError(f"cannot pad {in_channels} channels to {out_channels}")
        self.before = (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


def projection(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    """The dense shortcut of a ResNet: a 1x1 convolution and a norm."""
    return ConvNormAct(in_channels, out_channels, 1, stride, act="none")


def check_shortcut(
    shortcut: nn.Module | None, in_channels: int, out_channels: int, stride: int
) -> None:
    """Raises ``ValueError`` where something changes and nothing maps the input along."""
    if shortcut is None and (stride != 1 or in_channels != out_channels):
        raise ValueError("a block that changes channels or resolution needs a shortcut")


class _Residual(nn.Module):
    """What the two blocks share: the sum of the last convolution and the shortcut."""

    convs: nn.ModuleList

    def __init__(
        self, convs: list[nn.Module], shortcut: nn.Module | None, act_first: bool = False
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.shortcut = shortcut
        self.act_first = act_first

    def reset_parameters(self) -> None:
        reset(self.convs)
        reset(self.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in self.convs[:-1]:
            y = conv(y)
        rest = x if self.shortcut is None else self.shortcut(x)
        if self.act_first:
            return cast(Tensor, rest + self.convs[-1](y))
        return cast(Tensor, self.convs[-1](y, rest))


class BasicBlock(_Residual):
    r"""3x3 convolutions with a sum around them, :math:`\sigma(S x + N K_2\, \sigma(N K_1 x))`.

    Dense (``groups=1``) it is the block of small ResNets; in groups the relaxation of an MGIC block
    (section 2.2 of `MGIC <https://arxiv.org/abs/2011.09128>`_).

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        stride: Stride of the first convolution.
        groups: Groups of all convolutions.
        shortcut: :math:`S`; the identity by default, where nothing changes.
        norm: As in :class:`~mgic_geo.nn.MGIC`.
        convs: Number of convolutions. One, :math:`\sigma(S x + N K x)`, is enough for a relaxation:
            a cycle through the grids applies several one after the other.
        act_first: Add after the last activation, :math:`S x + \sigma(\ldots)`, not before it.

    Shapes:
        - **input:** :math:`(B, C_{in}, H, W)`
        - **output:** :math:`(B, C_{out}, \lceil H / s \rceil, \lceil W / s \rceil)` with stride
          :math:`s`

    Raises:
        ValueError: Channels or resolution change and there is no ``shortcut``, or ``convs`` is
            below 1.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import MGIC
        >>> from mgic_geo.nn.vision import BasicBlock
        >>> layer = MGIC(lambda c, g: BasicBlock(c, c, groups=g), 64, channel_axis=1)
        >>> layer(torch.randn(1, 64, 4, 4)).shape
        torch.Size([1, 64, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        groups: int = 1,
        shortcut: nn.Module | None = None,
        norm: Norm = "batch",
        convs: int = 2,
        act_first: bool = False,
    ) -> None:
        check_shortcut(shortcut, in_channels, out_channels, stride)
        if convs < 1:
            raise ValueError(f"convs = {convs}: it must be at least 1")
        first = ConvNormAct(in_channels, out_channels, 3, stride, groups, norm=norm)
        more = [
            ConvNormAct(out_channels, out_channels, 3, 1, groups, norm=norm)
            for _ in range(convs - 1)
        ]
        super().__init__([first, *more], shortcut, act_first)


class Bottleneck(_Residual):
    r"""Three convolutions, :math:`\sigma(S x + N K_3\, \sigma(N K_2\, \sigma(N K_1 x)))`.

    :math:`K_1` and :math:`K_3` are 1x1, :math:`K_2` is 3x3.

    Equation (2.2) of `MGIC <https://arxiv.org/abs/2011.09128>`_; in groups the relaxation of an
    MGIC block.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        stride: Stride of the 3x3 convolution.
        groups: Groups of all three.
        shortcut: :math:`S`; the identity by default, where nothing changes.
        expansion: The 3x3 convolution has ``out_channels / expansion`` channels.
        norm: As in :class:`~mgic_geo.nn.MGIC`.

    Shapes:
        - **input:** :math:`(B, C_{in}, H, W)`
        - **output:** :math:`(B, C_{out}, \lceil H / s \rceil, \lceil W / s \rceil)` with stride
          :math:`s`

    Raises:
        ValueError: ``out_channels`` is no multiple of ``expansion``, or channels or resolution
            change and there is no ``shortcut``.

    Example:
        >>> import torch
        >>> from mgic_geo.nn.vision import Bottleneck
        >>> Bottleneck(64, 64, groups=4)(torch.randn(1, 64, 4, 4)).shape
        torch.Size([1, 64, 4, 4])
        >>> [conv.conv.kernel_size for conv in Bottleneck(64, 64).convs]
        [(1, 1), (3, 3), (1, 1)]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        groups: int = 1,
        shortcut: nn.Module | None = None,
        expansion: int = 4,
        norm: Norm = "batch",
    ) -> None:
        if out_channels % expansion:
            raise ValueError(
                f"out_channels = {out_channels} is no multiple of expansion = {expansion}"
            )
        check_shortcut(shortcut, in_channels, out_channels, stride)
        planes = out_channels // expansion
        super().__init__(
            [
                ConvNormAct(in_channels, planes, 1, 1, groups, norm=norm),
                ConvNormAct(planes, planes, 3, stride, groups, norm=norm),
                ConvNormAct(planes, out_channels, 1, 1, groups, norm=norm),
            ],
            shortcut,
        )
