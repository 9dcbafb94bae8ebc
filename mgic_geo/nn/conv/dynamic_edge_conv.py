"""Edge convolution on a graph rebuilt in feature space."""

# Annotations are read by TorchScript and by PyG's inspector: no strings, PyG's own types.

from collections.abc import Sequence
from typing import Any, Optional, Union

import torch
from torch import Tensor
from torch_geometric.typing import OptTensor, PairOptTensor, PairTensor

from mgic_geo.graph import knn
from mgic_geo.nn.conv.edge_conv import EdgeConv


class DynamicEdgeConv(EdgeConv):
    r""":class:`EdgeConv` on the nearest neighbours *in feature space*, found anew at every call.

    PyG's ``DynamicEdgeConv``, which needs ``pyg-lib``, with groups. A node counts among its own
    neighbours, and clouds of fewer than ``k`` points have fewer neighbours. From `"Dynamic Graph
    CNN for Learning on Point Clouds" <https://arxiv.org/abs/1801.07829>`_.

    Args:
        nn: As in :class:`EdgeConv`.
        k: Number of neighbours, the node itself included.
        aggr: As in :class:`EdgeConv`.
        num_workers: As in :func:`~mgic_geo.graph.knn`.
        groups: As in :class:`EdgeConv`; the neighbours are found in all channels.
        bias: As in :class:`EdgeConv`.
        **kwargs: Arguments of ``MessagePassing`` but ``flow``.

    Shapes:
        - **input:** node features :math:`(N, F_{in})` and optionally ``batch`` :math:`(N)`; or both
          of sources and targets, :math:`((N_s, F_{in}), (N_t, F_{in}))` and
          :math:`((N_s), (N_t))`
        - **output:** node features :math:`(N_t, F_{out})`

    Raises:
        ValueError: The features have a batch axis, ``[B, n, F]``, or see :class:`EdgeConv`.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import DynamicEdgeConv
        >>> layer = DynamicEdgeConv([2 * 3, 16], k=8)
        >>> layer(torch.rand(40, 3), batch=torch.tensor([0, 1]).repeat_interleave(20)).shape
        torch.Size([40, 16])
    """

    def __init__(
        self,
        nn: torch.nn.Module | Sequence[int],
        k: int,
        aggr: Any = "max",
        num_workers: int = 1,
        *,
        groups: int = 1,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(nn, aggr, groups=groups, bias=bias, flow="source_to_target", **kwargs)
        self.k = k
        self.num_workers = num_workers

    def forward(
        self,
        x: Union[Tensor, PairTensor],  # noqa: UP007
        batch: Union[OptTensor, Optional[PairTensor]] = None,  # noqa: UP007, UP045
    ) -> Tensor:
        if isinstance(x, Tensor):
            x = (x, x)
        if x[0].dim() != 2:
            raise ValueError("Static graphs not supported in DynamicEdgeConv")
        b: PairOptTensor = (None, None)
        if isinstance(batch, Tensor):
            b = (batch, batch)
        elif isinstance(batch, tuple):
            assert batch is not None
            b = (batch[0], batch[1])
        edge_index = knn(x[0], x[1], self.k, b[0], b[1], num_workers=self.num_workers).flip([0])
        if not torch.jit.is_scripting():
            y = self._without_messages(x, edge_index)
            if y is not None:
                return y
        # propagate_type: (x: PairTensor)
        return self.propagate(edge_index, x=x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(nn={self.nn}, k={self.k})"
