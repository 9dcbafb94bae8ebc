"""A linear layer in a channel hierarchy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo.nn._hierarchical import Hierarchical
from mgic_geo.nn.linear_grids import LinearGrids, nested_grids
from mgic_geo.nn.pointwise import grouped_pointwise


class HierarchicalLinear(Hierarchical):
    r"""A linear map whose dense weight is the sum of maps on nested channel grids.

    .. math::
        y = B_0 x + P_0 \left( B_1 R_0 x + P_1 ( \ldots ) \right) + b

    the multigrid cycle of linear relaxations, multiplied out; see
    :class:`~mgic_geo.nn.LinearGrids`. Relaxations :math:`B_j` work in groups, transfers
    :math:`R_j, P_j` join the grids, and the coarsest couples all channels: weights and work are
    linear in the width. From `"MGIC: Multigrid-in-Channels Neural Network Architectures"
    <https://arxiv.org/abs/2011.09128>`_, section 3, for a single map.

    Args:
        in_features: Input channels.
        out_features: Output channels.
        group_size: Channels a group.
        coarsest: Largest width of the coarsest grid.
        bias: Learn an additive bias.
        grids: Other grids than :func:`~mgic_geo.nn.nested_grids` of these numbers.
        device: Where the weights are.
        dtype: What they are.

    Shapes:
        - **input:** :math:`(*, C_{in})`
        - **output:** :math:`(*, C_{out})`

    Raises:
        ValueError: The grids are for other widths.

    Example:
        >>> layer = HierarchicalLinear(64, 128, group_size=8, coarsest=16)
        >>> layer(torch.randn(5, 64)).shape, sum(p.numel() for p in layer.parameters())
        (torch.Size([5, 128]), 4096)
        >>> dense = layer.merge()  # a torch.nn.Linear that computes the same
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        group_size: int = 8,
        coarsest: int = 16,
        bias: bool = True,
        *,
        grids: LinearGrids | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if grids is None:
            grids = nested_grids(in_features, out_features, group_size, coarsest)
        if (grids.inputs, grids.outputs) != (in_features, out_features):
            raise ValueError(
                f"the grids map {grids.inputs} to {grids.outputs} channels, the layer "
                f"{in_features} to {out_features}"
            )
        super().__init__(grids, (), bias, device, dtype)
        self.in_features = self.in_channels = in_features
        self.out_features = self.out_channels = out_features

    @property
    def weight(self) -> Tensor:
        """The dense weight ``[C_out, C_in]``, multiplied out at each access."""
        return self.merge_weight()

    def forward(self, x: Tensor) -> Tensor:
        return self._grid(x, 0, self.bias)

    def _grid(self, x: Tensor, j: int, bias: Tensor | None = None) -> Tensor:
        grid = self.grids.grids[j]
        y: Tensor | None = None
        fine = self.relaxation(j)
        if fine is not None:
            picks = self.picks(j)
            seen = x if picks is None else x.index_select(-1, picks)
            if grid.groups == 1:
                y = F.linear(seen, fine, bias)
            else:
                y = grouped_pointwise(seen, fine.view(grid.groups, -1, grid.fan_in), bias)
            bias = None
        if not grid.transfer_groups:
            return x if y is None else y
        below = self._grid(_mix(x, self.down[j], grid.transfer_groups), j + 1)
        coarse = _mix(below, self.up[j], grid.transfer_groups, bias)
        return coarse if y is None else y + coarse

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """A dense layer that computes the same."""
        weight, bias = self.merge_weight(), self.bias is not None
        dense = nn.Linear(
            self.in_features, self.out_features, bias, device=weight.device, dtype=weight.dtype
        )
        dense.weight.copy_(weight)
        if self.bias is not None:
            dense.bias.copy_(self.bias)
        return dense.train(self.training)


def _mix(x: Tensor, weight: Tensor, groups: int, bias: Tensor | None = None) -> Tensor:
    if groups == 1:
        return F.linear(x, weight, bias)
    return grouped_pointwise(x, weight.view(groups, -1, weight.size(1)), bias)
