"""Derivatives and their mixing in plain torch, with ``[N, T + 1, C]`` written to memory."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels.rows import row_of_entries


def derive(x: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor) -> Tensor:
    r"""Features and derivatives of every node.

    .. math::
        f_{i,0} = x_i, \qquad f_{i,t} = \sum_{e=(i,j)} w_{e,t} \, x_j

    Args:
        x: Features ``[N, C]``.
        rowptr: First edge of each node, int32 ``[N + 1]``.
        col: Neighbour :math:`j` of each edge, int32 ``[E]``.
        weight: ``[E, T]``.

    Returns:
        ``[N, T + 1, C]``

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import derive
        >>> x = torch.tensor([[1.0], [4.0]])
        >>> rowptr = torch.tensor([0, 2, 2], dtype=torch.int32)  # node 0 has two edges, node 1 none
        >>> col = torch.tensor([1, 0], dtype=torch.int32)
        >>> weight = torch.tensor([[1.0], [-1.0]])  # one operator, the difference x_1 - x_0
        >>> derive(x, rowptr, col, weight).squeeze(-1).tolist()
        [[1.0, 3.0], [4.0, 0.0]]
    """
    target = row_of_entries(rowptr, col.size(0))
    neighbors = x[col.long()]
    terms = [
        torch.zeros_like(x).index_add(0, target, w.unsqueeze(-1) * neighbors)
        for w in weight.to(x.dtype).unbind(-1)
    ]
    return torch.stack([x, *terms], dim=1)


def diff_conv_reference(
    x: Tensor,
    mix: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    rowptr_t: Tensor | None = None,
    col_t: Tensor | None = None,
    weight_t: Tensor | None = None,
    bias: Tensor | None = None,
    relu: bool = False,
    residual: Tensor | None = None,
) -> Tensor:
    """What :func:`~mgic_geo.kernels.diff_conv` computes, in plain torch.

    Args:
        x: Features ``[N, C]``.
        mix: ``[groups, T + 1, C / groups, C_out / groups]``.
        rowptr: First edge of each node, int32 ``[N + 1]``.
        col: Neighbour of each edge, int32 ``[E]``.
        weight: Weights of the operators, ``[E, T]``.
        rowptr_t: Not used: autograd transposes by itself.
        col_t: Not used.
        weight_t: Not used.
        bias: ``[C_out]``, added to the result.
        relu: Cut the result off at 0.
        residual: ``[N, C_out]``, added last.

    Returns:
        ``[N, C_out]``

    Example:
        >>> import torch
        >>> from mgic_geo.graph import differential_operators, knn_graph
        >>> from mgic_geo.kernels import diff_conv, diff_conv_reference
        >>> pos, x, mix = torch.rand(16, 3), torch.randn(16, 8), torch.randn(2, 7, 4, 4)
        >>> operators = differential_operators(pos, knn_graph(pos, k=4))
        >>> expected = diff_conv_reference(x, mix, *operators)
        >>> torch.allclose(diff_conv(x, mix, *operators), expected, atol=1e-4)
        True
    """
    y = mix_terms(derive(x, rowptr, col, weight), mix)
    if bias is not None:
        y = y + bias
    if relu:
        y = y.relu()
    return y if residual is None else y + residual


def diff_conv_backward_reference(
    grad: Tensor,
    x: Tensor,
    mix: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    rowptr_t: Tensor,
    col_t: Tensor,
    weight_t: Tensor,
    into_x: bool,
    into_mix: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients of ``x`` and ``mix``, empty if not asked."""
    none = x.new_empty(0)
    u = derive(grad, rowptr_t, col_t, weight_t)
    of_x = mix_terms(u, mix.transpose(2, 3)) if into_x else none
    of_mix = moments(u, x, mix.size(0)).transpose(2, 3).contiguous() if into_mix else none
    return of_x, of_mix


def mix_terms(f: Tensor, mix: Tensor) -> Tensor:
    """``[N, T + 1, C]`` times the weights."""
    groups, terms, size, out = mix.shape
    if groups == 1:
        return f.flatten(1) @ mix.reshape(terms * size, out)
    return torch.einsum("ntgc,gtco->ngo", f.unflatten(-1, (groups, size)), mix).flatten(1)


def moments(f: Tensor, other: Tensor, groups: int) -> Tensor:
    """``[groups, T + 1, C / groups, C_other / groups]``, sums over the nodes."""
    if groups == 1:
        return (f.flatten(1).T @ other).unflatten(0, (f.size(1), -1)).unsqueeze(0)
    f, other = f.unflatten(-1, (groups, -1)), other.unflatten(-1, (groups, -1))
    return torch.einsum("ntgc,ngo->gtco", f, other)
