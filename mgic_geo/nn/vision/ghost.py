"""Ghost modules: part of the channels by a convolution, the others cheaply from those."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mgic_geo.nn._reset import reset
from mgic_geo.nn.norm import Norm
from mgic_geo.nn.vision.conv import ConvNormAct
from mgic_geo.nn.vision.resnet import check_shortcut
from mgic_geo.nn.vision.squeeze_excite import SqueezeExcite


class GhostModule(nn.Module):
    r"""Channels by a convolution and, from each, some more by depthwise filters.

    .. math::
        y' = \sigma(N K x), \qquad y = [y', \sigma(N D y')]

    with :math:`\lceil C_{out} / r \rceil` channels in :math:`y'`; what is over :math:`C_{out}` is
    cut off. From `"GhostNet: More Features from Cheap Operations" <https://arxiv.org/abs/1911.11907>`_.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Size of the convolution :math:`K`.
        stride: Its stride.
        groups: Groups of :math:`K`. Each group holds its share of both parts, so that in groups the
            module is block-diagonal.
        ratio: :math:`r`, output channels for each that :math:`K` makes.
        cheap_kernel: Size of the depthwise filters :math:`D`.
        act: As in :class:`ConvNormAct`.
        norm: As in :class:`~mgic_geo.nn.MGIC`.

    Shapes:
        - **input:** :math:`(B, C_{in}, H, W)`
        - **output:** :math:`(B, C_{out}, \lceil H / s \rceil, \lceil W / s \rceil)` with stride
          :math:`s`

    Raises:
        ValueError: ``ratio`` is below 2, or a channel number is no multiple of ``groups``.

    Example:
        >>> import torch
        >>> from mgic_geo.nn.vision import GhostModule
        >>> module = GhostModule(16, 32)
        >>> module(torch.randn(1, 16, 8, 8)).shape
        torch.Size([1, 32, 8, 8])
        >>> module.primary.conv.weight.numel(), module.cheap.conv.weight.numel()  # 16*16 and 9*16
        (256, 144)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        ratio: int = 2,
        cheap_kernel: int = 3,
        act: str = "relu",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if ratio < 2:
            raise ValueError(f"ratio = {ratio}: it must be at least 2")
        own = -(-out_channels // (ratio * groups)) * groups
        cheap = own * (ratio - 1)
        self.out_channels = out_channels
        self.groups = groups
        self.primary = ConvNormAct(in_channels, own, kernel_size, stride, groups, act, norm)
        self.cheap = ConvNormAct(own, cheap, cheap_kernel, 1, own, act, norm)

    def reset_parameters(self) -> None:
        reset(self.primary)
        reset(self.cheap)

    def forward(self, x: Tensor) -> Tensor:
        own = self.primary(x)
        cheap = self.cheap(own)
        if self.groups == 1:
            return torch.cat([own, cheap], dim=1)[:, : self.out_channels]
        parts = [part.unflatten(1, (self.groups, -1)) for part in (own, cheap)]
        size = self.out_channels // self.groups
        return torch.cat(parts, dim=2)[:, :, :size].flatten(1, 2)


class GhostBasicBlock(nn.Module):
    r"""The block of small ResNets on Ghost modules, :math:`\sigma(S x + G_2 G_1 x)`, all 3x3.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        stride: Stride of :math:`G_1`.
        groups: Groups of both modules.
        shortcut: :math:`S`; the identity by default, where nothing changes.
        ratio: As in :class:`GhostModule`.
        norm: As in :class:`~mgic_geo.nn.MGIC`.

    Shapes:
        - **input:** :math:`(B, C_{in}, H, W)`
        - **output:** :math:`(B, C_{out}, \lceil H / s \rceil, \lceil W / s \rceil)` with stride
          :math:`s`

    Raises:
        ValueError: Channels or resolution change and there is no ``shortcut``.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import DepthwiseShortcut
        >>> from mgic_geo.nn.vision import GhostBasicBlock
        >>> block = GhostBasicBlock(16, 32, stride=2, shortcut=DepthwiseShortcut(16, 32, stride=2))
        >>> block(torch.randn(1, 16, 8, 8)).shape
        torch.Size([1, 32, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        groups: int = 1,
        shortcut: nn.Module | None = None,
        ratio: int = 2,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        check_shortcut(shortcut, in_channels, out_channels, stride)
        self.ghost1 = GhostModule(in_channels, out_channels, 3, stride, groups, ratio, norm=norm)
        self.ghost2 = GhostModule(
            out_channels, out_channels, 3, 1, groups, ratio, act="none", norm=norm
        )
        self.shortcut = shortcut

    def reset_parameters(self) -> None:
        for child in self.children():
            reset(child)

    def forward(self, x: Tensor) -> Tensor:
        rest = x if self.shortcut is None else self.shortcut(x)
        return cast(Tensor, (self.ghost2(self.ghost1(x)) + rest).relu())


class GhostBottleneck(nn.Module):
    r"""Ghost modules to wide channels and back, :math:`S x + G_2\, a(D\, G_1 x)`.

    Between the modules stand a depthwise convolution :math:`D`, where the stride is not 1, and an
    optional :class:`SqueezeExcite` :math:`a`. :math:`S` is the identity, or a depthwise and a 1x1
    convolution where channels or resolution change. From `"GhostNet: More Features from Cheap
    Operations" <https://arxiv.org/abs/1911.11907>`_.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        hidden_channels: Wide channels.
        kernel_size: Size of the depthwise filters where the stride is not 1.
        stride: Stride.
        groups: Groups of both modules and of the squeeze-excite.
        squeezed: Channels inside the squeeze-excite; 0 for none.
        act: Activation, as in :class:`ConvNormAct`.
        norm: As in :class:`~mgic_geo.nn.MGIC`.

    Shapes:
        - **input:** :math:`(B, C_{in}, H, W)`
        - **output:** :math:`(B, C_{out}, \lceil H / s \rceil, \lceil W / s \rceil)` with stride
          :math:`s`

    Example:
        >>> import torch
        >>> from mgic_geo.nn.vision import GhostBottleneck
        >>> block = GhostBottleneck(16, 24, hidden_channels=48, stride=2, squeezed=12)
        >>> block(torch.randn(1, 16, 8, 8)).shape
        torch.Size([1, 24, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        squeezed: int = 0,
        act: str = "relu",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        wide = hidden_channels
        self.ghost1 = GhostModule(in_channels, wide, groups=groups, act=act, norm=norm)
        self.depthwise: nn.Module = nn.Identity()
        if stride != 1:
            self.depthwise = ConvNormAct(wide, wide, kernel_size, stride, wide, "none", norm)
        self.se = SqueezeExcite(wide, squeezed, groups) if squeezed else nn.Identity()
        self.ghost2 = GhostModule(wide, out_channels, groups=groups, act="none", norm=norm)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                ConvNormAct(
                    in_channels, in_channels, kernel_size, stride, in_channels, "none", norm
                ),
                ConvNormAct(in_channels, out_channels, 1, act="none", norm=norm),
            )

    def reset_parameters(self) -> None:
        for child in self.children():
            reset(child)

    def forward(self, x: Tensor) -> Tensor:
        y = self.ghost2(self.se(self.depthwise(self.ghost1(x))))
        return cast(Tensor, y + self.shortcut(x))
