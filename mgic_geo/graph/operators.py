"""Differential operators on a neighbourhood graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.graph.neighborhoods import Neighborhoods
from mgic_geo.kernels import derivative_operators
from mgic_geo.kernels.derivatives import FITS


class DifferentialOperators(NamedTuple):
    r"""First and second directional derivatives, one of each along an axis, linear in the features.

    Those of ``fit="average"``: on the edges from neighbour :math:`j` to node :math:`i`, with
    :math:`u_{ij} = p_j - p_i`, :math:`\hat u = u / \lVert u \rVert` and
    each of the :math:`d` axes :math:`a`,

    .. math::
        (G_a f)_i = \frac{1}{|N(i)|} \sum_j \hat u_{ij,a} \, (f_j - f_i), \qquad
        (L_a f)_i = \frac{1}{|N(i)|} \sum_j \hat u_{ij,a}^2 \, (f_j - f_i).

    :math:`G_a` is the averaged derivative along the edges times their length; the :math:`L_a` sum
    up to the graph Laplacian :math:`\frac{1}{|N(i)|} \sum_j (f_j - f_i)`. Neither has a unit: both
    are the same for a cloud and its scaled or shifted copy, and their rows are bounded by 2, so
    that depth does not amplify outliers. Where the points turn by :math:`R`, the gradient turns
    with them, :math:`G' f = R\,(G f)`; of the :math:`L_a` only the sum stays the same. After
    `"DiffGCN: Graph Convolutional Networks via Differential Operators and Algebraic Multigrid
    Pooling" <https://arxiv.org/abs/2006.04115>`_, without its division by the distance. For those
    of ``fit="least_squares"`` see
    :func:`~mgic_geo.kernels.derivatives.least_squares.least_squares_derivatives`.

    Built once for a graph by :func:`differential_operators` and shared by all layers and grids; the
    transposed operators, which the backward pass applies, come along.

    Args:
        rowptr: First entry of each node, int32 ``[N + 1]``; a node's entries are its neighbours
            and, last, itself.
        col: Column of each entry, int32 ``[E + N]``.
        weight: The weights of each entry, ``[E + N, 2 d]``, in space
            ``G_x, G_y, G_z, L_x, L_y, L_z``.
        rowptr_t: Row pointers of the transposed operators.
        col_t: Columns of the transposed operators.
        weight_t: Weights of the transposed operators.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import differential_operators
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
        >>> edge_index = torch.tensor([[1, 0], [0, 1]])  # each is the other's neighbour
        >>> operators = differential_operators(pos, edge_index)
        >>> operators.num_nodes, operators.weight.shape  # two entries a node, six operators
        (2, torch.Size([4, 6]))
        >>> operators.weight[:2, 0].tolist()  # G_x of node 0: x_1 - x_0
        [1.0, -1.0]
    """

    rowptr: Tensor
    col: Tensor
    weight: Tensor
    rowptr_t: Tensor
    col_t: Tensor
    weight_t: Tensor

    @property
    def num_nodes(self) -> int:
        return self.rowptr.size(0) - 1

    @property
    def dims(self) -> int:
        """Dimensions :math:`d` of the positions."""
        return self.weight.size(1) // 2

    def to(self, *args: Any, **kwargs: Any) -> DifferentialOperators:
        """Moves or converts as ``Tensor.to``; a new type changes the weights alone."""
        weight = self.weight.to(*args, **kwargs)
        # the indices never pass through the new type, which may not hold them
        moved = (t.to(weight.device if t.dtype == torch.int32 else weight) for t in self)
        return DifferentialOperators(*moved)


def differential_operators(
    pos: Tensor, edge_index: Tensor | Neighborhoods, fit: str = "average"
) -> DifferentialOperators:
    """Builds the :class:`DifferentialOperators` of a graph with positions.

    Clouds batched the PyG way (one disconnected graph) need nothing more; equal and unequal sizes
    alike.

    Args:
        pos: Positions ``[N, d]`` in any number of dimensions.
        edge_index: int64 ``[2, E]``, row 0 the neighbours, row 1 the nodes, or its
            :class:`Neighborhoods`. Edges from a node to itself carry no derivative.
        fit: ``"average"``, means along the edges, or ``"least_squares"``, derivatives of a plane
            fitted to each neighbourhood, which irregular neighbourhoods and rims bias less.

    Returns:
        The operators with their transposes; weights ``[E + N, 6]``, of the type of ``pos``.

    Raises:
        DataError: Positions are not finite, or all of them coincide; the graph names other nodes.
        ValueError: ``pos`` has another shape, or ``fit`` is another name.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import differential_operators, knn_graph
        >>> from mgic_geo.nn import DiffGCNConv
        >>> pos = torch.rand(32, 3)
        >>> operators = differential_operators(pos, knn_graph(pos, k=8))
        >>> x = torch.randn(32, 8)
        >>> for layer in (DiffGCNConv(8, 16), DiffGCNConv(16, 16)):  # built once for all layers
        ...     x = layer(x, operators)
        >>> x.shape
        torch.Size([32, 16])
    """
    if pos.dim() != 2 or not pos.size(1):
        raise ValueError(f"pos must be [N, d], got {list(pos.shape)}")
    check_fit(fit)
    graph = (
        edge_index
        if isinstance(edge_index, Neighborhoods)
        else Neighborhoods.from_edge_index(edge_index, pos.size(0))
    )
    if graph.num_nodes != pos.size(0):
        raise DataError(f"the graph has {graph.num_nodes} nodes, there are {pos.size(0)} points")
    return DifferentialOperators(*derivative_operators(pos, *graph, fit))


def check_fit(fit: str) -> None:
    """Raises ``ValueError`` if ``fit`` is none of :data:`FITS`."""
    if fit not in FITS:
        raise ValueError(f"fit = {fit!r}: use one of {FITS}")
