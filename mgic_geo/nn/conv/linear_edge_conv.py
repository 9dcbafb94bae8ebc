"""Edge convolution of a linear map with the maximum: no tensor of edges."""

from __future__ import annotations

from torch import Tensor, nn

from mgic_geo.graph import Neighborhoods
from mgic_geo.kernels import neighbor_max
from mgic_geo.nn._reset import reset
from mgic_geo.nn.mlp import MLP
from mgic_geo.nn.pointwise import GroupedPointwise, grouped_pointwise

LinearMap = GroupedPointwise | nn.Linear


class LinearEdgeConv(nn.Module):
    r""":class:`~mgic_geo.nn.EdgeConv` of a linear map with the maximum, without PyG.

    .. math::
        y_i = \max_{j \in N(i)} \left( W_1 x_i + W_2 (x_j - x_i) \right)
            = (W_1 - W_2) x_i + \max_{j \in N(i)} W_2 x_j

    From `"Dynamic Graph CNN for Learning on Point Clouds" <https://arxiv.org/abs/1801.07829>`_.
    The models of the registry use it. ``EdgeConv([2 * in_channels, out_channels], groups=...)``
    computes the same with the same weights, but is a ``MessagePassing`` of PyG, whose import takes
    longer than a prediction.

    Args:
        in_channels: Input features a node, a multiple of ``groups``.
        out_channels: Output features a node, a multiple of ``groups``.
        groups: Group :math:`g` of the outputs sees group :math:`g` of :math:`x_i` and of
            :math:`x_j - x_i`.
        bias: Learn an additive bias.

    Shapes:
        - **input:** node features :math:`(N, F_{in})` and ``edge_index`` :math:`(2, E)`, or the
          graph's :class:`~mgic_geo.graph.Neighborhoods`
        - **output:** node features :math:`(N, F_{out})`; 0 for nodes without neighbours

    Raises:
        ValueError: A channel number is no multiple of ``groups``; in a call, the graph has another
            number of nodes.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import knn_graph
        >>> from mgic_geo.nn import EdgeConv, LinearEdgeConv
        >>> pos = torch.rand(32, 3)
        >>> edge_index = knn_graph(pos, k=8)
        >>> layer, same = LinearEdgeConv(3, 16), EdgeConv([6, 16])
        >>> _ = same.load_state_dict(layer.state_dict())
        >>> torch.allclose(layer(pos, edge_index), same(pos, edge_index), atol=1e-5)
        True
    """

    def __init__(
        self, in_channels: int, out_channels: int, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        widths = [2 * in_channels, out_channels]
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.groups = groups
        self.nn = MLP(widths, groups=groups, norm=None, bias=bias, plain_last=True)

    def reset_parameters(self) -> None:
        reset(self.nn)

    def forward(self, x: Tensor, edge_index: Tensor | Neighborhoods) -> Tensor:
        graph = as_neighborhoods(edge_index, x.size(0))
        layer = self.nn[0]
        assert isinstance(layer, GroupedPointwise)
        return linear_edge_max(x, graph, layer)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, groups={self.groups}"


def as_neighborhoods(edge_index: Tensor | Neighborhoods, num_nodes: int) -> Neighborhoods:
    """The graph with its edges grouped by node.

    Raises:
        ValueError: The graph has another number of nodes, or names some that do not exist.
    """
    if not isinstance(edge_index, Neighborhoods):
        return Neighborhoods.from_edge_index(edge_index, num_nodes)
    if edge_index.num_nodes != num_nodes:
        raise ValueError(f"x has {num_nodes} nodes, the graph has {edge_index.num_nodes}")
    return edge_index


def linear_map(network: nn.Module) -> LinearMap | None:
    """The only layer of a network, if that is all it is; a subclass may do more than its layers."""
    layer = network
    if type(layer) in (nn.Sequential, MLP) and len(list(layer.children())) == 1:
        layer = next(layer.children())
    return layer if type(layer) is GroupedPointwise or type(layer) is nn.Linear else None


def linear_edge_max(x: Tensor, graph: Neighborhoods, layer: LinearMap) -> Tensor:
    r""":math:`(W_1 - W_2) x_i + \max_j W_2 x_j + b`, 0 for nodes without neighbours."""
    weight = layer.weight if layer.weight.dim() == 3 else layer.weight.unsqueeze(0)
    own, difference = weight.chunk(2, dim=-1)
    best, _ = neighbor_max(grouped_pointwise(x, difference), graph.rowptr, graph.col)
    y = best + grouped_pointwise(x, own - difference, layer.bias)
    return y.masked_fill((graph.rowptr.diff() == 0).unsqueeze(-1), 0.0)
