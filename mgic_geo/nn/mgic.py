"""The multigrid-in-channels block, Algorithm 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from mgic_geo.hierarchy import ChannelHierarchy
from mgic_geo.nn._reset import reset
from mgic_geo.nn.norm import Norm, make_norm
from mgic_geo.nn.shortcut import DepthwiseShortcut, PointwiseShortcut
from mgic_geo.nn.transfer import Prolongation, Restriction

_PAIRED = 0.9  # share of a row's weight on its own pair of channels


class MGIC(nn.Module):
    r"""Replaces a block's dense channel coupling by a hierarchy of grouped blocks.

    .. math::
        x_0 &= x, \qquad x_{j+1} = R_j x_j \\
        y_n &= B_n(x_n) \\
        y_j &= B_j\left( x_j + N_j\left( P_j (y_{j+1} - x_{j+1}) \right) \right)

    for :math:`j = n-1, \ldots, 0`. :math:`B_n` is dense and couples all channels of the coarsest
    grid; the others work in groups of :math:`s_g`. Parameters and work are linear in the width, and
    every output channel depends on every input channel. If every block is the identity, so is MGIC;
    without coarsenings it is the dense block. Algorithm 1 of `"MGIC: Multigrid-in-Channels Neural
    Network Architectures" <https://arxiv.org/abs/2011.09128>`_.

    The defaults are the paper's form. Ours are a ``correction_scale`` of 0, ``norm="none"`` and
    ``transfers="pairs"``: batch norm brings a correction to unit size however small it is, so that
    coarse blocks which have learned nothing yet feed the fine grids noise; without it a correction
    is as large as what the coarse blocks did. What each is worth on images stands in
    ``results/README.md``, *Forms of the image block*.

    Args:
        block: ``block(width, groups)`` builds a relaxation from ``width`` to ``width`` channels.
        channels: Width of the block, :math:`c`.
        group_size: Group size :math:`s_g`.
        coarsest: Largest width :math:`s_c` of the coarsest, dense grid.
        in_channels: Input width where it differs from ``channels``; a light shortcut maps it first
            (section 3.3): a depthwise 3x3 convolution of images, a pointwise map of nodes.
        shortcut: That shortcut as a module of your own, for example with a stride.
        norm: Norm :math:`N_j` after each prolongation: ``"batch"``, ``"none"`` or
            ``norm(channels) -> Module``.
        correction_scale: Initial scale of :math:`N_j`. With 0 the block starts as its finest
            relaxation and learns how much to take from the coarse grids. Unused without a norm.
        transfers: How :math:`R_j` and :math:`P_j` start, always with positive rows of sum 1:
            ``"average"`` draws the weights of a group at random around one value, ``"pairs"`` ties
            each coarse channel to two neighbouring fine channels, with most of the weight.
        channel_axis: ``-1`` for node features ``[*, C]``, ``1`` for images ``[B, C, H, W]``.
        extra_level: See :class:`~mgic_geo.hierarchy.ChannelHierarchy`.
        hidden_widths: See :class:`~mgic_geo.hierarchy.ChannelHierarchy`.

    Shapes:
        - **input:** :math:`(*, C_{in})`, or :math:`(B, C_{in}, H, W)` with ``channel_axis=1``;
          further arguments (``edge_index``, ``pos``, ...) reach the block of every grid
        - **output:** :math:`(*, C)` or :math:`(B, C, H', W')`

    Raises:
        ValueError: ``transfers`` or ``norm`` is none of those names, or there is no hierarchy of
            these numbers (see :class:`~mgic_geo.hierarchy.ChannelHierarchy`).

    Example:
        >>> import torch
        >>> from mgic_geo.nn import MGIC, GroupedPointwise
        >>> layer = MGIC(lambda c, g: GroupedPointwise(c, c, groups=g), 64, group_size=8)
        >>> layer(torch.randn(5, 64)).shape
        torch.Size([5, 64])
    """

    def __init__(
        self,
        block: Callable[[int, int], nn.Module],
        channels: int,
        group_size: int = 8,
        coarsest: int = 16,
        *,
        in_channels: int | None = None,
        shortcut: nn.Module | None = None,
        norm: Norm = "batch",
        correction_scale: float = 1.0,
        transfers: str = "average",
        channel_axis: int = -1,
        extra_level: bool = False,
        hidden_widths: Callable[[int], Iterable[int]] | None = None,
    ) -> None:
        super().__init__()
        if transfers not in ("average", "pairs"):
            raise ValueError(f"transfers = {transfers!r}: use 'average' or 'pairs'")
        self.transfers = transfers
        self.hierarchy = ChannelHierarchy(
            channels, group_size, coarsest, extra_level=extra_level, hidden_widths=hidden_widths
        )
        self.channels = channels
        self.in_channels = channels if in_channels is None else in_channels
        self.group_size = group_size
        self.coarsest = coarsest
        self.channel_axis = channel_axis
        if shortcut is None and self.in_channels != channels:
            shortcut = (
                DepthwiseShortcut(self.in_channels, channels)
                if channel_axis == 1
                else PointwiseShortcut(self.in_channels, channels)
            )
        self.shortcut = shortcut
        fine = self.hierarchy.levels[:-1]
        self.restrictions = nn.ModuleList(
            Restriction(level.width, level.transfer_groups, channel_axis) for level in fine
        )
        self.prolongations = nn.ModuleList(
            Prolongation(level.width, level.transfer_groups, channel_axis) for level in fine
        )
        self.norms = nn.ModuleList(
            make_norm(norm, level.width, channel_axis, correction_scale) for level in fine
        )
        self.blocks = nn.ModuleList(
            block(level.width, level.groups) for level in self.hierarchy.levels
        )
        self._start_transfers()

    def reset_parameters(self) -> None:
        """Resets every child that can be; R and P return to positive rows of sum 1."""
        for child in self.children():
            reset(child)
        self._start_transfers()

    @torch.no_grad()
    def _start_transfers(self) -> None:
        """Leans R and P towards pairs of neighbouring channels, where ``transfers`` says so."""
        if self.transfers != "pairs":
            return
        for transfer in (*self.restrictions, *self.prolongations):
            weight = cast(torch.Tensor, transfer.weight)  # [groups, out, in]
            _, out, size = weight.shape
            pairs = torch.eye(min(out, size), dtype=weight.dtype, device=weight.device)
            if size > out:
                pairs = pairs.repeat_interleave(2, dim=1) / 2.0
            else:
                pairs = pairs.repeat_interleave(2, dim=0)
            weight.mul_(1.0 - _PAIRED).add_(pairs, alpha=_PAIRED)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.shortcut is not None:
            x = self.shortcut(x)
        # A relaxation may know how to run all of the rest as one operator.
        if (cycle := getattr(self.blocks[0], "run_cycle", None)) is not None:
            done: Tensor | None = cycle(self, x, *args, **kwargs)
            if done is not None:
                return done
        grids = [x]
        for restriction in self.restrictions:
            grids.append(restriction(grids[-1]))

        y = self.blocks[-1](grids[-1], *args, **kwargs)
        for j in range(len(self.restrictions) - 1, -1, -1):
            # One name for all: nothing of a coarser grid is held while the next one is relaxed.
            y = y - grids.pop()
            y = cast(Prolongation, self.prolongations[j]).correct(grids[j], y, self.norms[j])
            y = self.blocks[j](y, *args, **kwargs)
        return y

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.channels}, group_size={self.group_size}, "
            f"coarsest={self.coarsest}, hierarchy={self.hierarchy!r}"
        )
