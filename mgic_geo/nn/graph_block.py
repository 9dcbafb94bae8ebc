"""A graph convolution with its norm and activation."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from mgic_geo.graph import DifferentialOperators, Neighborhoods
from mgic_geo.kernels.diff_cycle import diff_cycle, has_diff_cycle
from mgic_geo.nn.conv import DiffGCNConv
from mgic_geo.nn.norm import BatchNorm, make_norm, norm_relu_add, track_statistics
from mgic_geo.nn.transfer import Prolongation, Restriction

if TYPE_CHECKING:
    from mgic_geo.nn.mgic import MGIC

Graph = DifferentialOperators | Neighborhoods


class GraphBlock(nn.Module):
    r"""A graph convolution, a norm and a ReLU: :math:`\sigma(N(K(x)))`, plus :math:`x` on request.

    Args:
        conv: The convolution :math:`K`, called as ``conv(x, graph)``.
        channels: Its output channels.
        residual: Add the input to the output; both then have ``channels``.

    Shapes:
        - **input:** node features :math:`(N, F_{in})`, and the graph as ``conv`` takes it
        - **output:** node features :math:`(N, F_{out})`

    Example:
        >>> import torch
        >>> from mgic_geo.graph import differential_operators, knn_graph
        >>> from mgic_geo.nn import MGIC, DiffGCNConv, GraphBlock
        >>> pos = torch.rand(32, 3)
        >>> operators = differential_operators(pos, knn_graph(pos, k=8))
        >>> layer = MGIC(lambda c, g: GraphBlock(DiffGCNConv(c, c, g), c, residual=True), 32)
        >>> layer(torch.randn(32, 32), operators).shape
        torch.Size([32, 32])
    """

    def __init__(self, conv: nn.Module, channels: int, residual: bool = False) -> None:
        super().__init__()
        self.conv = conv
        self.norm = make_norm("batch", channels)
        self.residual = residual

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        y = self.conv(x, graph)
        # A hook may have kept it, and a convolution of another kind may return its input.
        own = isinstance(self.conv, DiffGCNConv) and not self.conv._forward_hooks
        return norm_relu_add(self.norm, y, True, x if self.residual else None, own)

    @staticmethod
    def run_cycle(layer: MGIC, x: Tensor, graph: Graph) -> Tensor | None:
        """All grids of ``layer`` as one operator, or None where that would not be the same.

        It is for training with the relaxations that :func:`mgic_geo.kernels.diff_cycle` has.
        """
        if not isinstance(graph, DifferentialOperators) or not _fits(layer):
            return None
        parameters: list[Tensor] = []
        norms: list[BatchNorm] = []
        for j, block in enumerate(cast("list[GraphBlock]", list(layer.blocks))):
            norm = cast(BatchNorm, block.norm)
            parameters += [cast(DiffGCNConv, block.conv).mix(), norm.weight, norm.bias]
            norms.append(norm)
            if j < len(layer.norms):
                norm = cast(BatchNorm, layer.norms[j])
                down = cast(Restriction, layer.restrictions[j])
                up = cast(Prolongation, layer.prolongations[j])
                parameters += [down.weight, up.weight, norm.weight, norm.bias]
                norms.append(norm)
        if any(p.dtype != x.dtype for p in parameters) or not has_diff_cycle(x, parameters):
            return None
        y, statistics, _ = diff_cycle(x, parameters, *graph, norms[0].eps)
        track_statistics(norms[::-1], statistics[::2], statistics[1::2], x.size(0))
        return y


def _fits(layer: MGIC) -> bool:
    """Whether each part of ``layer`` is of the kind that the operator computes, and none is seen
    by a hook, which it would not call."""
    norms = list(layer.norms)
    if not layer.training or not norms or layer.channel_axis != -1:
        return False
    parts = [*layer.restrictions, *layer.prolongations, *layer.blocks]
    for block in layer.blocks:
        if type(block) is not GraphBlock or not block.residual:
            return False
        if type(block.conv) is not DiffGCNConv or block.conv.bias is not None:
            return False
        if block.conv.dims != 3:
            return False
        norms.append(block.norm)
        parts.append(block.conv)
    if any(type(norm) is not BatchNorm or not norm.training for norm in norms):
        return False
    if len({norm.eps for norm in cast("list[BatchNorm]", norms)}) > 1:
        return False
    parts += norms
    return not any(
        part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in parts
    )
