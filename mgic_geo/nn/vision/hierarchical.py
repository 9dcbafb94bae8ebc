"""Convolutions in the channel hierarchy."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from mgic_geo.hierarchy import ChannelHierarchy
from mgic_geo.nn._reset import reset
from mgic_geo.nn.norm import BatchNorm, norm_relu_add
from mgic_geo.nn.transfer import Prolongation, Restriction


class HierarchicalConv2d(nn.Module):
    r"""A 3x3 convolution whose matrix is a sum over the channel grids.

    .. math::
        K x = K_0 x_0 + P_0 \left( K_1 x_1 + P_1 \left( \ldots + P_{n-1} K_n x_n \right) \right),
        \qquad x_0 = x, \quad x_{j+1} = R_j x_j

    The grids work side by side; an MGIC block takes them in turn. :math:`K` is linear and replaces
    a dense convolution ahead of one norm and one activation. Its parameters and work are those that
    :class:`~mgic_geo.hierarchy.ChannelHierarchy` counts for one convolution a grid.

    Args:
        channels: Input and output channels.
        group_size: Group size :math:`s_g`.
        coarsest: Largest width :math:`s_c` of the coarsest, dense grid.

    Shapes:
        - **input:** :math:`(B, C, H, W)`
        - **output:** :math:`(B, C, H, W)`

    Example:
        >>> import torch
        >>> from mgic_geo.nn.vision import HierarchicalConv2d
        >>> conv = HierarchicalConv2d(64, group_size=8)
        >>> conv(torch.randn(1, 64, 4, 4)).shape
        torch.Size([1, 64, 4, 4])
        >>> sum(p.numel() for p in conv.parameters()) == conv.hierarchy.parameters(9, norm=0)
        True
    """

    def __init__(self, channels: int, group_size: int = 8, coarsest: int = 16) -> None:
        super().__init__()
        self.hierarchy = ChannelHierarchy(channels, group_size, coarsest)
        levels = self.hierarchy.levels
        self.convs = nn.ModuleList(
            nn.Conv2d(level.width, level.width, 3, 1, 1, groups=level.groups, bias=False)
            for level in levels
        )
        fine = [level for level, _ in pairwise(levels)]
        self.restrictions = nn.ModuleList(
            Restriction(level.width, level.transfer_groups, 1) for level in fine
        )
        self.prolongations = nn.ModuleList(
            Prolongation(level.width, level.transfer_groups, 1) for level in fine
        )
        self._none = nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal weights of variance 2 / fan-out; transfers are positive with rows of sum 1."""
        for conv in self.convs:
            own = cast(nn.Conv2d, conv)
            fan_out = 9 * own.out_channels // own.groups
            nn.init.normal_(own.weight, 0.0, math.sqrt(2.0 / fan_out))
        reset(self.restrictions)
        reset(self.prolongations)

    def forward(self, x: Tensor) -> Tensor:
        grids = [x]
        for restriction in self.restrictions:
            grids.append(restriction(grids[-1]))
        y: Tensor = self.convs[-1](grids[-1])
        for j in range(len(self.restrictions) - 1, -1, -1):
            prolongation = cast(Prolongation, self.prolongations[j])
            y = prolongation.correct(self.convs[j](grids[j]), y, self._none)
        return y


class HierarchicalBlock(nn.Module):
    r"""The block of small ResNets, :math:`\sigma(x + N K_2\, \sigma(N K_1 x))`.

    Both :math:`K_1` and :math:`K_2` are a :class:`HierarchicalConv2d`.

    Args:
        channels: Channels of both convolutions.
        group_size: As in :class:`HierarchicalConv2d`.
        coarsest: As in :class:`HierarchicalConv2d`.
        shortcut: A light map that comes first, where channels or resolution change.

    Shapes:
        - **input:** :math:`(B, C, H, W)`, or what ``shortcut`` takes
        - **output:** :math:`(B, C, H, W)`

    Example:
        >>> import torch
        >>> from mgic_geo.nn import DepthwiseShortcut
        >>> from mgic_geo.nn.vision import HierarchicalBlock
        >>> block = HierarchicalBlock(64, shortcut=DepthwiseShortcut(32, 64, stride=2))
        >>> block(torch.randn(1, 32, 8, 8)).shape
        torch.Size([1, 64, 4, 4])
    """

    def __init__(
        self,
        channels: int,
        group_size: int = 8,
        coarsest: int = 16,
        shortcut: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.convs = nn.ModuleList(
            HierarchicalConv2d(channels, group_size, coarsest) for _ in range(2)
        )
        self.norms = nn.ModuleList(BatchNorm(channels, 1) for _ in range(2))

    def reset_parameters(self) -> None:
        for child in self.children():
            reset(child)

    def forward(self, x: Tensor) -> Tensor:
        if self.shortcut is not None:
            x = self.shortcut(x)
        y = norm_relu_add(self.norms[0], self.convs[0](x), relu=True)
        return norm_relu_add(self.norms[1], self.convs[1](y), residual=x).relu()
