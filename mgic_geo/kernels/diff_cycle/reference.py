"""A whole V-cycle of DiffGCN relaxations in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mgic_geo.kernels.correction.reference import correction_reference
from mgic_geo.kernels.diff_conv.reference import diff_conv_reference
from mgic_geo.kernels.norm_act.reference import norm_act_reference
from mgic_geo.kernels.pointwise.reference import grouped_pointwise_reference

# Parameters of a grid: mix, scale, shift of the relaxation; then, but for the coarsest one,
# restriction, prolongation, scale, shift.
_OF_GRID = 7


def diff_cycle_reference(
    x: Tensor,
    parameters: Sequence[Tensor],
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    eps: float,
) -> tuple[Tensor, list[Tensor]]:
    """What :func:`~mgic_geo.kernels.diff_cycle` computes, in plain torch.

    Args:
        x: Features ``[N, C]``.
        parameters: Those of :func:`~mgic_geo.kernels.diff_cycle`, grid by grid.
        rowptr: First edge of each node, int32 ``[N + 1]``.
        col: Neighbour of each edge, int32 ``[E]``.
        weight: Weights of the six operators, ``[E, 6]``.
        eps: Added to each variance.

    Returns:
        The result ``[N, C]``; mean and (biased) variance of each norm's input, from the coarsest
        grid on.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import differential_operators, knn_graph
        >>> from mgic_geo.kernels import diff_cycle_reference
        >>> pos, x = torch.rand(16, 3), torch.randn(16, 4)
        >>> graph = differential_operators(pos, knn_graph(pos, k=4))[:3]
        >>> parameters = [torch.randn(1, 7, 4, 4), torch.zeros(4), torch.zeros(4)]
        >>> y, _ = diff_cycle_reference(x, parameters, *graph, 1e-5)
        >>> torch.equal(y, x)  # norms of scale 0 leave the skip connection
        True
    """
    grids = by_grid(parameters)
    features = [x]
    for grid in grids[:-1]:
        features.append(grouped_pointwise_reference(features[-1], grid[3]))
    statistics: list[Tensor] = []
    y, coarse = x, x
    for fine, (mix, scale, shift, *transfer) in zip(reversed(features), reversed(grids)):
        u = fine
        if transfer:
            _, up, *norm = transfer
            u, mean, var = correction_reference(fine, y - coarse, up, norm[0], norm[1], eps)
            statistics += [mean, var]
        z = diff_conv_reference(u, mix, rowptr, col, weight)
        y, mean, var = norm_act_reference(z, scale, shift, u, eps, True)
        statistics += [mean, var]
        coarse = fine
    return y, statistics


def by_grid(parameters: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """The parameters grid by grid, the finest first."""
    return [parameters[i : i + _OF_GRID] for i in range(0, len(parameters), _OF_GRID)]


def diff_cycle_plain(
    x: Tensor,
    parameters: list[Tensor],
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    rowptr_t: Tensor,
    col_t: Tensor,
    weight_t: Tensor,
    eps: float,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """:func:`diff_cycle_reference`, and that nothing is kept for the backward pass."""
    y, statistics = diff_cycle_reference(x, parameters, rowptr, col, weight, eps)
    return y.contiguous(), statistics, []
