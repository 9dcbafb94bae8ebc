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

_TERMS = ("identity", "gradient", "laplacian")


class DiffGCNConv(nn.Module):
    r"""Mixes the features of a node with their directional derivatives.

    .. math::
        y_i = b + W \left[ x_i, \; (G_1 x)_i, \dots, (G_d x)_i, \;
        (L_1 x)_i, \dots, (L_d x)_i \right]

    with the operators of :class:`~mgic_geo.graph.DifferentialOperators` for positions in :math:`d`
    dimensions, block-diagonal :math:`W` of ``groups`` blocks and
    :math:`(2 d + 1) F_{in} F_{out} / groups` weights: seven terms in space, five in the plane. The
    weights tell the axes from each other, so the layer is invariant to shifts and to the scale of
    the positions, not to rotations. Fused loops are for :math:`d = 3`; in others the derivatives
    are written to memory. After `"DiffGCN:
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
        dims: Dimensions :math:`d` of the positions.

    Shapes:
        - **input:** node features :math:`(N, F_{in})` and either prepared operators, or positions
          :math:`(N, d)` and ``edge_index`` :math:`(2, E)`
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
        terms: Sequence[str] = _TERMS,
        bias: bool = True,
        fit: str = "average",
        dims: int = 3,
    ) -> None:
        super().__init__()
        check_fit(fit)
        check_groups(groups, in_channels=in_channels, out_channels=out_channels)
        if not terms or any(term not in _TERMS for term in terms):
            raise ValueError(f"terms = {terms!r}: use one or more of {_TERMS}")
        if dims < 1:
            raise ValueError(f"dims = {dims}: it must be at least 1")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.groups = groups
        self.fit = fit
        self.terms = tuple(term for term in _TERMS if term in terms)
        self.dims = dims
        rows = (range(1), range(1, dims + 1), range(dims + 1, 2 * dims + 1))
        self._rows = [row for term in self.terms for row in rows[_TERMS.index(term)]]
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
            pos: Positions ``[N, d]``, or the prepared operators of the graph.
            edge_index: The graph, where ``pos`` are positions.
        """
        if isinstance(pos, DifferentialOperators):
            operators = pos
        elif edge_index is None:
            raise ValueError("DiffGCNConv needs pos and edge_index, or prepared operators")
        else:
            operators = differential_operators(pos, edge_index, self.fit)
        if operators.dims != self.dims:
            raise ValueError(
                f"positions in {operators.dims} dimensions, and the layer has dims = {self.dims}"
            )
        y = diff_conv(x.to(self.weight.dtype), self.mix(), *operators)
        return y if self.bias is None else y + self.bias

    def mix(self) -> Tensor:
        """The weights ``[groups, 2 d + 1, C_in / groups, C_out / groups]``, 0 for absent terms."""
        terms = 2 * self.dims + 1
        if len(self._rows) == terms:
            return self.weight
        groups, _, size, out = self.weight.shape
        mix = self.weight.new_zeros(groups, terms, size, out)
        rows = torch.tensor(self._rows, device=mix.device)
        return mix.index_copy(1, rows, self.weight)

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, groups={self.groups}, terms={self.terms}, "
            f"bias={self.bias is not None}, fit={self.fit!r}, dims={self.dims}"
        )
