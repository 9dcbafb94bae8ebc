"""Graph convolution by differential operators."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mgic_geo.graph import DifferentialOperators, Neighborhoods, differential_operators
from mgic_geo.graph.operators import check_fit
from mgic_geo.kernels import diff_conv
from mgic_geo.nn.pointwise import check_groups

_TERMS = {"identity": range(0, 1), "gradient": range(1, 4), "laplacian": range(4, 7)}


class DiffGCNConv(nn.Module):
    r"""Mixes the features of a node with their directional derivatives.

    .. math::
        y_i = b + W \left[ x_i, \; (G_x x)_i, (G_y x)_i, (G_z x)_i, \;
        (L_x x)_i, (L_y x)_i, (L_z x)_i \right]

    with the operators of :class:`~mgic_geo.graph.DifferentialOperators`, block-diagonal :math:`W`
    of ``groups`` blocks and ``7 * in_channels * out_channels / groups`` weights. After `"DiffGCN:
    Graph Convolutional Networks via Differential Operators and Algebraic Multigrid Pooling"
    <https://arxiv.org/abs/2006.04115>`_.

    Args:
        in_channels: Input features a node, a multiple of ``groups``.
        out_channels: Output features a node, a multiple of ``groups``.
        groups: Groups of channels that are mixed apart from each other.
        terms: Which of ``"identity"``, ``"gradient"`` and ``"laplacian"`` take part.
        bias: Learn an additive bias.
        fit: How operators are built that are not given, see
            :func:`~mgic_geo.graph.differential_operators`.

    Shapes:
        - **input:** node features :math:`(N, F_{in})` and either prepared operators, or positions
          :math:`(N, 3)` and ``edge_index`` :math:`(2, E)`
        - **output:** node features :math:`(N, F_{out})`

    Raises:
        ValueError: A channel number is no multiple of ``groups``, or ``terms`` or ``fit`` has
            another name; in a call, ``edge_index`` is missing beside positions.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import knn_graph
        >>> from mgic_geo.nn import DiffGCNConv
        >>> pos = torch.rand(32, 3)
        >>> DiffGCNConv(8, 16, groups=4)(torch.randn(32, 8), pos, knn_graph(pos, k=10)).shape
        torch.Size([32, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int = 1,
        terms: Sequence[str] = ("identity", "gradient", "laplacian"),
        bias: bool = True,
        fit: str = "average",
    ) -> None:
        super().__init__()
        check_fit(fit)
        check_groups(groups, in_channels=in_channels, out_channels=out_channels)
        if not terms or any(term not in _TERMS for term in terms):
            raise ValueError(f"terms = {terms!r}: use one or more of {tuple(_TERMS)}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.groups = groups
        self.fit = fit
        self.terms = tuple(term for term in _TERMS if term in terms)
        self._rows = [row for term in self.terms for row in _TERMS[term]]
        self.weight = nn.Parameter(
            torch.empty(groups, len(self._rows), in_channels // groups, out_channels // groups)
        )
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform with the fan-in of an output channel, as ``torch.nn.Linear``."""
        bound = 1.0 / math.sqrt(len(self._rows) * self.in_channels // self.groups)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(
        self,
        x: Tensor,
        pos: Tensor | DifferentialOperators,
        edge_index: Tensor | Neighborhoods | None = None,
    ) -> Tensor:
        """Applies the layer.

        Args:
            x: Node features ``[N, in_channels]``.
            pos: Positions ``[N, 3]``, or the prepared operators of the graph.
            edge_index: The graph, where ``pos`` are positions.
        """
        if isinstance(pos, DifferentialOperators):
            operators = pos
        elif edge_index is None:
            raise ValueError("DiffGCNConv needs pos and edge_index, or prepared operators")
        else:
            operators = differential_operators(pos, edge_index, self.fit)
        y = diff_conv(x.to(self.weight.dtype), self.mix(), *operators)
        return y if self.bias is None else y + self.bias

    def mix(self) -> Tensor:
        """The weights ``[groups, 7, C_in / groups, C_out / groups]``, 0 for the terms left out."""
        if len(self._rows) == 7:
            return self.weight
        groups, _, size, out = self.weight.shape
        mix = self.weight.new_zeros(groups, 7, size, out)
        rows = torch.tensor(self._rows, device=mix.device)
        return mix.index_copy(1, rows, self.weight)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, groups={self.groups}, terms={self.terms}, "
            f"bias={self.bias is not None}, fit={self.fit!r}"
        )
