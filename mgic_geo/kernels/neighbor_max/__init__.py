"""Maximum over neighbours without a tensor of edges."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mgic_geo.kernels.checks import check_graph, check_shape
from mgic_geo.kernels.dispatch import backend_for
from mgic_geo.kernels.neighbor_max.reference import (
    neighbor_max_grad_reference,
    neighbor_max_reference,
)
from mgic_geo.kernels.operator import operator

__all__ = [
    "neighbor_max",
    "neighbor_max_grad",
    "neighbor_max_reference",
]


def _check(x: Tensor, rowptr: Tensor, col: Tensor) -> None:
    if x.dim() != 2:
        raise ValueError(f"x must be [N, C], got {list(x.shape)}")
    check_graph(x, rowptr, col, max(rowptr.numel() - 1, 0))


@operator(neighbor_max_reference, _check)
def neighbor_max(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    r"""Largest feature among a node's neighbours, :math:`m_{i,c} = \max_{j \in N(i)} x_{j,c}`.

    Args:
        x: Features ``[M, C]``.
        rowptr: First edge of each node, int32 ``[N + 1]``.
        col: Neighbour of each edge, int32 ``[E]``.

    Returns:
        The maxima ``[N, C]`` (0 where a node has no neighbour) and the neighbours that have them,
        int32 ``[N, C]`` (-1 for none; the first among equals). A gradient goes to those alone.

    Raises:
        ValueError: Shapes, types or devices do not fit.
        DataError: The graph is damaged, or names other nodes.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import group_edges, neighbor_max
        >>> graph = group_edges(torch.tensor([[1, 2, 0], [0, 0, 2]]), num_nodes=3)
        >>> best, who = neighbor_max(torch.tensor([[1.0], [5.0], [3.0]]), *graph)
        >>> best.flatten().tolist(), who.flatten().tolist()
        ([5.0, 0.0, 1.0], [1, -1, 0])
    """
    _check(x, rowptr, col)
    backend = backend_for(x)
    if backend == "cpu":
        from mgic_geo.kernels.neighbor_max import cpu

        return cpu.neighbor_max_forward(x, rowptr, col)
    if backend == "gpu":
        from mgic_geo.kernels.neighbor_max import gpu

        return gpu.neighbor_max_forward(x, rowptr, col)
    return neighbor_max_reference(x, rowptr, col)


@operator(neighbor_max_grad_reference)
def neighbor_max_grad(grad: Tensor, who: Tensor, nodes: int) -> Tensor:
    """The gradient of :func:`neighbor_max` with respect to ``x``."""
    check_shape("who", who, list(grad.shape))
    if who.dtype != torch.int32 or who.device != grad.device or grad.dim() != 2:
        raise ValueError(f"who must be int32 [N, C] on {grad.device}, got {who.dtype}")
    backend = backend_for(grad)
    if backend == "cpu":
        from mgic_geo.kernels.neighbor_max import cpu

        return cpu.neighbor_max_backward(grad, who, nodes)
    if backend == "gpu":
        from mgic_geo.kernels.neighbor_max import gpu

        return gpu.neighbor_max_backward(grad, who, nodes)
    return neighbor_max_grad_reference(grad, who, nodes)


@neighbor_max.register_fake
def _(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    best = x.new_empty(rowptr.size(0) - 1, x.size(1))
    return best, torch.empty_like(best, dtype=torch.int32)


@neighbor_max_grad.register_fake
def _(grad: Tensor, who: Tensor, nodes: int) -> Tensor:
    return grad.new_empty(nodes, grad.size(1))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.nodes = inputs[0].size(0)
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    (who,) = ctx.saved_tensors
    return neighbor_max_grad(grad.contiguous(), who, ctx.nodes), None, None


neighbor_max.register_autograd(_backward, setup_context=_setup)


def _setup_grad(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _backward_grad(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
    """It is linear: each place takes from the neighbour that it gave to."""
    (who,) = ctx.saved_tensors
    none = upstream.new_zeros(1, upstream.size(1))
    slots = torch.where(who < 0, upstream.size(0), who).long()
    return torch.cat([upstream, none]).gather(0, slots), None, None


neighbor_max_grad.register_autograd(_backward_grad, setup_context=_setup_grad)


@register_flop_formula([neighbor_max.op.overloadpacket, neighbor_max_grad.op.overloadpacket])
def _flops(*_: Any, **__: Any) -> int:
    return 0
