"""Edge convolution on a graph rebuilt in feature space."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mgic_geo.graph import knn_graph
from mgic_geo.nn.conv.edge_conv import EdgeConv


class DynamicEdgeConv(EdgeConv):
    r""":class:`EdgeConv` on the nearest neighbours *in feature space*, found anew at every call.

    As in PyG a node counts among its own neighbours. From `"Dynamic Graph CNN for Learning on Point
    Clouds" <https://arxiv.org/abs/1801.07829>`_.

    Args:
        nn: As in :class:`EdgeConv`.
        k: Number of neighbours, the node itself included.
        groups: As in :class:`EdgeConv`; the neighbours are found in all channels.
        aggr: As in :class:`EdgeConv`.
        bias: As in :class:`EdgeConv`.

    Shapes:
        - **input:** node features :math:`(N, F_{in})` and optionally ``batch`` :math:`(N)`
        - **output:** node features :math:`(N, F_{out})`

    Raises:
        DataError: A cloud has fewer than ``k`` points.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import DynamicEdgeConv
        >>> layer = DynamicEdgeConv([2 * 3, 16], k=8)
        >>> layer(torch.rand(40, 3), batch=torch.tensor([0, 1]).repeat_interleave(20)).shape
        torch.Size([40, 16])
    """

    def __init__(
        self,
        nn: nn.Module | Sequence[int],
        k: int,
        groups: int = 1,
        aggr: str = "max",
        bias: bool = True,
    ) -> None:
        super().__init__(nn, groups, aggr, bias)
        self.k = k

    def forward(  # type: ignore[override]  # the second argument is PyG's
        self, x: Tensor, batch: Tensor | None = None
    ) -> Tensor:
        return super().forward(x, knn_graph(x, self.k, batch, loop=True))

    def extra_repr(self) -> str:
        return f"k={self.k}, {super().extra_repr()}"
