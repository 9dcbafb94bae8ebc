"""The networks of Table 2 on points, of which several can stand side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mgic_geo.nn import MGIC, DenseBlock, GroupedPointwise, PointwiseShortcut

GROUP_SIZE = COARSEST = 8
EXPANSION = 2
BLOCKS = ("MobileNetV3", "Ghost", "MGIC")


class Depthwise(GroupedPointwise):
    """A number a channel, all that a depthwise convolution is on a single point."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.view(-1)


def depthwise(channels: int, act: type[nn.Module] | None = nn.ReLU) -> DenseBlock:
    """A depthwise convolution with norm and activation."""
    block = DenseBlock(channels, channels, groups=channels, act=act)
    block.pointwise = Depthwise(channels)
    return block


class PointInvertedResidual(nn.Module):
    """:class:`mgic_geo.nn.vision.InvertedResidual` with ReLU on points ``[N, C]``.

    On one pixel its convolutions are these pointwise maps, which take a fraction of their time.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        hidden_channels: Wide channels.
        groups: Groups of the maps to the wide channels and back.
    """

    def __init__(
        self, in_channels: int, out_channels: int, hidden_channels: int, groups: int = 1
    ) -> None:
        super().__init__()
        self.expand = DenseBlock(in_channels, hidden_channels, groups)
        self.depthwise = depthwise(hidden_channels)
        self.project = DenseBlock(hidden_channels, out_channels, groups, act=None)
        self.residual = in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class PointGhostModule(nn.Module):
    """:class:`mgic_geo.nn.vision.GhostModule` of ratio 2 on points ``[N, C]``."""

    def __init__(
        self, in_channels: int, out_channels: int, groups: int, act: type[nn.Module] | None
    ) -> None:
        super().__init__()
        self.groups = groups
        self.primary = DenseBlock(in_channels, out_channels // 2, groups, act=act)
        self.cheap = depthwise(out_channels // 2, act)

    def forward(self, x: Tensor) -> Tensor:
        own = self.primary(x)
        parts = [part.unflatten(-1, (self.groups, -1)) for part in (own, self.cheap(own))]
        return torch.cat(parts, dim=-1).flatten(-2)


class PointGhostBottleneck(nn.Module):
    """:class:`mgic_geo.nn.vision.GhostBottleneck` on points ``[N, C]``.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        hidden_channels: Wide channels.
        groups: Groups of all but the depthwise maps.
    """

    def __init__(
        self, in_channels: int, out_channels: int, hidden_channels: int, groups: int = 1
    ) -> None:
        super().__init__()
        self.ghost1 = PointGhostModule(in_channels, hidden_channels, groups, nn.ReLU)
        self.ghost2 = PointGhostModule(hidden_channels, out_channels, groups, None)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(
                depthwise(in_channels, act=None),
                DenseBlock(in_channels, out_channels, groups, act=None),
            )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.ghost2(self.ghost1(x))
        return y + self.shortcut(x)


def mgic_block(in_channels: int, out_channels: int, copies: int) -> MGIC:
    """MGIC of inverted residuals; a depthwise map changes the channels ahead of it, if needed."""
    shortcut = None
    if in_channels != out_channels:
        groups = copies * math.gcd(in_channels, out_channels)
        shortcut = PointwiseShortcut(copies * in_channels, copies * out_channels, groups)
    return MGIC(
        # the dense grid comes with one group, and is dense within each copy
        lambda c, g: PointInvertedResidual(c, c, EXPANSION * c, max(g, copies)),
        copies * out_channels,
        GROUP_SIZE,
        copies * COARSEST,
        in_channels=copies * in_channels,
        shortcut=shortcut,
        # the group size is that of a single network, whatever the number of copies
        hidden_widths=lambda c: [c // copies, EXPANSION * c // copies],
    )


def network(block: str, alpha: float, copies: int = 1) -> nn.Sequential:
    """The network of Table 2, from points ``[N, 2 * copies]`` to values ``[N, copies]``.

    Copies are networks of their own: the first takes the first two columns, and so on. As groups of
    one network they take little more time than one. The last layer is a plain linear one.

    Args:
        block: Of :data:`BLOCKS`.
        alpha: Factor of the width, 160.
        copies: How many.
    """
    width = round(160 * alpha)

    def cnn_block(channels: int) -> nn.Module:
        if block == "MGIC":
            return mgic_block(channels, width, copies)
        kind = PointInvertedResidual if block == "MobileNetV3" else PointGhostBottleneck
        wide = EXPANSION * channels
        return kind(copies * channels, copies * width, copies * wide, copies)

    return nn.Sequential(
        DenseBlock(2 * copies, 16 * copies, copies),
        cnn_block(16),
        cnn_block(width),
        DenseBlock(width * copies, 64 * copies, copies),
        GroupedPointwise(64 * copies, copies, copies),
    )


@torch.no_grad()
def join(joined: nn.Module, singles: Sequence[nn.Module]) -> None:
    """Makes the copies of ``joined`` equal to ``singles``."""
    states = [single.state_dict() for single in singles]
    for name, tensor in joined.state_dict().items():
        parts = [state[name] for state in states]
        tensor.copy_(torch.cat(parts) if tensor.dim() else parts[0])


@torch.no_grad()
def split(joined: nn.Module, singles: Sequence[nn.Module]) -> None:
    """Makes ``singles`` equal to the copies of ``joined``."""
    states = [single.state_dict() for single in singles]
    for name, tensor in joined.state_dict().items():
        parts = tensor.chunk(len(states)) if tensor.dim() else [tensor] * len(states)
        for state, part in zip(states, parts, strict=True):
            state[name].copy_(part)


def count(model: nn.Module) -> tuple[int, int]:
    """Parameters, and multiply-accumulates a point: each weight of a map is used once."""
    maps = [module for module in model.modules() if isinstance(module, GroupedPointwise)]
    parameters = sum(p.numel() for p in model.parameters())
    return parameters, sum(module.weight.numel() for module in maps)
