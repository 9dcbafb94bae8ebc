"""Edge convolution with grouped channels."""

# Annotations are read by TorchScript and by PyG's inspector: no strings, PyG's own types.

from collections.abc import Sequence
from typing import Any, Union

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import Adj, PairTensor

from mgic_geo.graph import Neighborhoods
from mgic_geo.nn._reset import reset
from mgic_geo.nn.conv.linear_edge_conv import as_neighborhoods, linear_edge_max, linear_map
from mgic_geo.nn.mlp import MLP


class EdgeConv(MessagePassing):
    r"""Aggregates a network of node and difference features over the edges.

    .. math::
        y_i = \max_{j \in N(i)} h_\Theta \left( [x_i, \; x_j - x_i] \right)

    From `"Dynamic Graph CNN for Learning on Point Clouds" <https://arxiv.org/abs/1801.07829>`_.
    PyG's ``EdgeConv``, a ``MessagePassing`` with its arguments and kinds of input, with two things
    more. In groups, group :math:`g` of the outputs sees group :math:`g` of :math:`x_i` and of
    :math:`x_j - x_i`. And a linear :math:`h = [W_1, W_2]` with ``aggr="max"`` is computed as
    :math:`(W_1 - W_2) x_i + \max_j W_2 x_j`, without a tensor of edges, unless hooks or an
    explanation of PyG ask for messages.

    Args:
        nn: The network :math:`h_\Theta` as a module on ``[E, 2 * in_channels]``, whose parameters
            are drawn anew, as in PyG; or its widths ``[2 * in_channels, ..., out_channels]`` for
            linear layers with ReLU between them.
        aggr: ``"max"``, ``"mean"``, ``"add"`` or any other aggregation of PyG; nodes without
            neighbours get 0.
        groups: Groups of channels; needs widths.
        bias: Bias of the layers that are built from widths.
        **kwargs: Arguments of ``MessagePassing``, such as ``flow``.

    Shapes:
        - **input:** node features :math:`(N, F_{in})`, or those of sources and targets
          :math:`((N_s, F_{in}), (N_t, F_{in}))`; and ``edge_index`` :math:`(2, E)`, the transposed
          adjacency as a sparse tensor :math:`(N_t, N_s)`, or the graph's
          :class:`~mgic_geo.graph.Neighborhoods`
        - **output:** node features :math:`(N_t, F_{out})`

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
        nn: torch.nn.Module | Sequence[int],
        aggr: Any = "max",
        *,
        groups: int = 1,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(aggr=aggr, **kwargs)
        self.groups = groups
        if isinstance(nn, torch.nn.Module) or callable(nn):
            if groups != 1:
                raise ValueError(
                    f"groups = {groups} needs widths; a module of your own has its groups"
                )
            self.nn: Any = nn
            self.reset_parameters()
        else:
            widths = list(nn)
            if len(widths) < 2 or widths[0] % 2:
                raise ValueError(
                    f"widths = {widths}: give [2 * in_channels, ..., out_channels], the first even"
                )
            self.nn = MLP(widths, groups=groups, norm=None, bias=bias, plain_last=True)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        reset(self.nn)

    def forward(self, x: Union[Tensor, PairTensor], edge_index: Adj) -> Tensor:  # noqa: UP007
        if not torch.jit.is_scripting():
            y = self._without_messages(x, edge_index)
            if y is not None:
                return y
            edge_index = _as_edge_index(edge_index, self.flow)
        if isinstance(x, Tensor):
            x = (x, x)
        # propagate_type: (x: PairTensor)
        return self.propagate(edge_index, x=x)

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        if self.groups == 1:
            return self.nn(torch.cat([x_i, x_j - x_i], dim=-1))
        split = [self.groups, x_i.size(-1) // self.groups]
        pair = torch.stack([x_i.unflatten(-1, split), (x_j - x_i).unflatten(-1, split)], dim=-2)
        return self.nn(pair.flatten(-3))

    @torch.jit.unused
    def _without_messages(self, x: Any, edge_index: Any) -> Any:
        """The result for a linear network and the maximum; None where there is more to do."""
        graph = edge_index
        if isinstance(x, tuple) and x[0] is x[1]:
            x = x[0]
        if not isinstance(x, Tensor) or x.dim() != 2:
            return None
        if not isinstance(graph, Neighborhoods) and (
            not isinstance(graph, Tensor) or graph.layout != torch.strided
        ):
            return None
        layer = linear_map(self.nn)
        if layer is None or self.aggr != "max" or self.node_dim != -2 or self._is_watched():
            return None
        if not isinstance(graph, Neighborhoods) and self.flow == "target_to_source":
            graph = graph.flip(0)
        try:
            graph = as_neighborhoods(graph, x.size(0))
        except ValueError:
            if isinstance(graph, Neighborhoods):
                raise
            return None  # no such edges: PyG says so in its words
        return linear_edge_max(x, graph, layer)

    def _is_watched(self) -> bool:
        """Whether something wants to see or change the messages."""
        hooks = (
            self._propagate_forward_pre_hooks, self._propagate_forward_hooks,
            self._message_forward_pre_hooks, self._message_forward_hooks,
            self._aggregate_forward_pre_hooks, self._aggregate_forward_hooks,
        )  # fmt: skip
        inside = (hook for part in self.nn.modules() for hook in (
            part._forward_pre_hooks, part._forward_hooks
        ))  # fmt: skip
        return bool(self.explain) or any(hooks) or any(inside)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(nn={self.nn})"


@torch.jit.unused
def _as_edge_index(graph: Any, flow: str) -> Any:
    """What ``propagate`` takes: of sparse layouts it takes neither columns nor open sums."""
    if isinstance(graph, Tensor) and graph.layout == torch.sparse_csc:
        return graph.to_sparse_csr()
    if isinstance(graph, Tensor) and graph.layout == torch.sparse_coo:
        return graph.coalesce()
    if not isinstance(graph, Neighborhoods):
        return graph
    ends = [graph.col.long(), graph.target()]
    return torch.stack(ends if flow == "source_to_target" else ends[::-1])
