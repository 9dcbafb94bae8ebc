"""Edge convolution with grouped channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mgic_geo.graph import Neighborhoods
from mgic_geo.kernels import neighbor_max
from mgic_geo.nn._reset import reset
from mgic_geo.nn.mlp import MLP
from mgic_geo.nn.pointwise import GroupedPointwise, grouped_pointwise

Graph = Tensor | Neighborhoods


class EdgeConv(nn.Module):
    r"""Aggregates a network of node and difference features over the edges.

    .. math::
        y_i = \max_{j \in N(i)} h_\Theta \left( [x_i, \; x_j - x_i] \right)

    From `"Dynamic Graph CNN for Learning on Point Clouds" <https://arxiv.org/abs/1801.07829>`_.
    With ``groups=1`` it equals PyG's ``EdgeConv`` in value and gradient. In groups, group :math:`g`
    of the outputs sees group :math:`g` of :math:`x_i` and of :math:`x_j - x_i`.

    A linear :math:`h = [W_1, W_2]` with ``aggr="max"`` is computed as :math:`(W_1 - W_2) x_i +
    \max_j W_2 x_j`, without a tensor of edges.

    Args:
        nn: The network :math:`h_\Theta` as a module on ``[E, 2 * in_channels]``, or its widths
            ``[2 * in_channels, ..., out_channels]`` for linear layers with ReLU between them.
        groups: Groups of channels; needs widths.
        aggr: ``"max"``, ``"mean"`` or ``"add"``; nodes without neighbours get 0.
        bias: Bias of the layers that are built from widths.

    Shapes:
        - **input:** node features :math:`(N, F_{in})` and ``edge_index`` :math:`(2, E)`, or the
          graph's :class:`~mgic_geo.graph.Neighborhoods`
        - **output:** node features :math:`(N, F_{out})`

    Raises:
        ValueError: ``aggr`` is another name, the widths do not fit, or ``groups`` are given beside
            a module; in a call, the graph has another number of nodes.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import knn_graph
        >>> from mgic_geo.nn import EdgeConv
        >>> pos = torch.rand(32, 3)
        >>> EdgeConv([6, 16])(pos, knn_graph(pos, k=10)).shape
        torch.Size([32, 16])
    """

    def __init__(
        self,
        nn: nn.Module | Sequence[int],
        groups: int = 1,
        aggr: str = "max",
        bias: bool = True,
    ) -> None:
        super().__init__()
        if aggr not in ("max", "mean", "add"):
            raise ValueError(f"aggr = {aggr!r}: use 'max', 'mean' or 'add'")
        if not isinstance(nn, torch.nn.Module):
            widths = list(nn)
            if len(widths) < 2 or widths[0] % 2:
                raise ValueError(
                    f"widths = {widths}: give [2 * in_channels, ..., out_channels], the first even"
                )
            nn = MLP(widths, groups=groups, norm=None, bias=bias, plain_last=True)
        elif groups != 1:
            raise ValueError(f"groups = {groups} needs widths; a module of your own has its groups")
        self.nn = nn
        self.groups = groups
        self.aggr = aggr

    def reset_parameters(self) -> None:
        reset(self.nn)

    def forward(self, x: Tensor, edge_index: Graph) -> Tensor:
        graph = (
            edge_index
            if isinstance(edge_index, Neighborhoods)
            else Neighborhoods.from_edge_index(edge_index, x.size(0))
        )
        if graph.num_nodes != x.size(0):
            raise ValueError(f"x has {x.size(0)} nodes, the graph has {graph.num_nodes}")
        layer = self._linear()
        if layer is not None and self.aggr == "max":
            return self._split(x, graph, layer)
        target, source = graph.target(), graph.col.long()
        from torch_geometric.utils import scatter  # slow to import, and rarely needed

        return scatter(
            self.message(x[target], x[source]), target, 0, dim_size=x.size(0), reduce=self._reduce()
        )

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        pair = torch.stack(
            [x_i.unflatten(-1, (self.groups, -1)), (x_j - x_i).unflatten(-1, (self.groups, -1))],
            dim=-2,
        )
        return self.nn(pair.flatten(-3))

    def _reduce(self) -> str:
        return {"max": "max", "mean": "mean", "add": "sum"}[self.aggr]

    def _linear(self) -> GroupedPointwise | torch.nn.Linear | None:
        """The only layer of h, if that is all h is (a subclass may do more than its layers)."""
        layer = self.nn
        if type(layer) in (torch.nn.Sequential, MLP) and len(list(layer.children())) == 1:
            layer = next(layer.children())
        if type(layer) is GroupedPointwise or type(layer) is torch.nn.Linear:
            return layer
        return None

    def _split(
        self, x: Tensor, graph: Neighborhoods, layer: GroupedPointwise | torch.nn.Linear
    ) -> Tensor:
        weight = layer.weight if layer.weight.dim() == 3 else layer.weight.unsqueeze(0)
        own, difference = weight.chunk(2, dim=-1)
        best, _ = neighbor_max(grouped_pointwise(x, difference), graph.rowptr, graph.col)
        y = best + grouped_pointwise(x, own - difference, layer.bias)
        lonely = (graph.rowptr.diff() == 0).unsqueeze(-1)
        return y.masked_fill(lonely, 0.0)

    def extra_repr(self) -> str:
        return f"groups={self.groups}, aggr={self.aggr!r}"
