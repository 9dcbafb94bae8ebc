"""Grouped mixing of features and derivatives on a GPU, forward and backward."""

from __future__ import annotations

from torch import Tensor

from mgic_geo.kernels.gpu.derive import derive, mixes_in_place
from mgic_geo.kernels.gpu.launch import backward, forward, weight_gradient

__all__ = [
    "derive",
    "diff_conv_backward",
    "diff_conv_forward",
    "diff_conv_grad_mix",
    "mixes_in_place",
]


def diff_conv_forward(
    x: Tensor, mix: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor
) -> Tensor:
    r"""Equal to :func:`mgic_geo.kernels.diff_conv_reference`, without ``[N, 7, C]`` in memory.

    .. math::
        y_{i, g o} = \sum_{t, c} f_{i, t, g c} \, M_{g, t, c, o}, \qquad
        f_{i,0} = x_i, \quad f_{i,t} = \sum_{e=(i,j)} w_{e,t} \, x_j

    Args:
        x: ``[N, C]``, float32, float16 or bfloat16; sums are taken in float32.
        mix: ``[groups, 7, C / groups, C_out / groups]``, any strides.
        rowptr: int32 ``[N + 1]``.
        col: int32 ``[E]``.
        weight: ``[E, 6]``.

    Returns:
        ``[N, C_out]`` of the type of ``x``. A value that is not finite may show in other groups of
        its node, and in no other node.
    """
    return forward(x, mix, (rowptr, col, weight))


def diff_conv_backward(
    grad: Tensor, x: Tensor, mix: Tensor, rowptr_t: Tensor, col_t: Tensor, weight_t: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Both gradients of :func:`diff_conv_forward` from one pass over the transposed graph.

    With :math:`u_{j,0} = \bar y_j` and :math:`u_{j,t} = \sum_{e=(i,j)} w_{e,t} \, \bar y_i`, the
    transposed derivatives of the gradient :math:`\bar y`,

    .. math::
        \bar x_{j, g c} = \sum_{t, o} M_{g, t, c, o} \, u_{j, t, g o}, \qquad
        \bar M_{g, t, c, o} = \sum_j x_{j, g c} \, u_{j, t, g o},

    so that one gather serves both. Groups of more than 32 channels take two passes. The sum over
    nodes is taken in a fixed order.

    Args:
        grad: Gradient of the output, ``[N, C_out]``.
        x: As in :func:`diff_conv_forward`.
        mix: Likewise.
        rowptr_t: Row pointers of the transposed graph.
        col_t: Its columns.
        weight_t: Its weights.

    Returns:
        The gradients of ``x`` and ``mix``.
    """
    return backward(grad, x, mix, (rowptr_t, col_t, weight_t))


def diff_conv_grad_mix(
    grad: Tensor, x: Tensor, groups: int, rowptr_t: Tensor, col_t: Tensor, weight_t: Tensor
) -> Tensor:
    """The gradient of ``mix`` alone; that of ``x`` alone is a forward pass over the transpose."""
    like = x.new_empty(groups, 7, x.size(1) // groups, grad.size(1) // groups)
    return weight_gradient(grad, x, like, (rowptr_t, col_t, weight_t))
