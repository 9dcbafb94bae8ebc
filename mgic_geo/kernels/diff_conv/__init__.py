"""Derivatives on a graph and their grouped mixing as one operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mgic_geo.kernels.checks import check_alike, check_features, check_graph, check_shape
from mgic_geo.kernels.diff_conv import products
from mgic_geo.kernels.diff_conv.reference import (
    derive,
    diff_conv_backward_reference,
    diff_conv_reference,
)
from mgic_geo.kernels.dispatch import backend_for
from mgic_geo.kernels.operator import operator

__all__ = ["derive", "diff_conv", "diff_conv_backward", "diff_conv_reference"]


def _check(
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
) -> None:
    if mix.dim() != 4 or not mix.numel():
        raise ValueError(f"mix must be [groups, T + 1, in, out], got {list(mix.shape)}")
    groups, terms, size, out = mix.shape
    check_features(x, groups * size)
    check_alike(x, mix=mix, bias=bias, residual=residual)
    check_graph(x, rowptr, col, x.size(0), weight, terms - 1)
    check_shape("bias", bias, [groups * out])
    check_shape("residual", residual, [x.size(0), groups * out])


@operator(diff_conv_reference, _check, constants=["weight"])
def diff_conv(
    x: Tensor,
    mix: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    rowptr_t: Tensor,
    col_t: Tensor,
    weight_t: Tensor,
    bias: Tensor | None = None,
    relu: bool = False,
    residual: Tensor | None = None,
) -> Tensor:
    r"""Grouped mixing of a node's features and derivatives.

    .. math::
        y_{i, g o} = \sum_{t, c} f_{i, t, g c} \, M_{g, t, c, o}

    with :math:`f` as in :func:`derive`, which is never written to memory as a whole. It is linear
    in ``x`` and in ``mix``; its gradients visit the transposed graph, which therefore comes along
    ready-made. A gradient for ``weight``, as where positions are learned, is plain torch's.

    Args:
        x: Features ``[N, C]``, float32 or float64.
        mix: ``[groups, T + 1, C / groups, C_out / groups]``.
        rowptr: First edge of each node, int32 ``[N + 1]``.
        col: Neighbour of each edge, int32 ``[E]``.
        weight: Weights of the :math:`T` operators, ``[E, T]``.
        rowptr_t: Row pointers of the transposed graph, int32 ``[N + 1]``.
        col_t: Its columns, int32 ``[E]``.
        weight_t: Its weights, ``[E, T]``.
        bias: ``[C_out]``, added to the result. This and the next two are for inference and have no
            gradient.
        relu: Cut the result off at 0.
        residual: ``[N, C_out]``, added last.

    Returns:
        ``[N, C_out]``

    Raises:
        ValueError: Shapes, types or devices do not fit.
        DataError: The graph is damaged, or names other nodes.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import differential_operators, knn_graph
        >>> from mgic_geo.kernels import diff_conv
        >>> pos = torch.rand(16, 3)
        >>> operators = differential_operators(pos, knn_graph(pos, k=4))
        >>> mix = torch.randn(2, 7, 4, 8)  # 2 groups, 7 terms, from 8 channels to 16
        >>> diff_conv(torch.randn(16, 8), mix, *operators).shape
        torch.Size([16, 16])
    """
    _check(x, mix, rowptr, col, weight, bias=bias, residual=residual)
    groups, _, size, out = mix.shape
    backend = backend_for(x)
    if backend == "cpu":
        from mgic_geo.kernels.diff_conv import cpu, padding

        if plan := cpu.diff_conv_plan(groups, size, out, x.dtype, weight.size(1)):
            graph = rowptr, col, weight
            return padding.padded_forward(plan, x, mix, graph, bias, relu, residual)
    y = None
    if backend == "gpu":
        from mgic_geo.kernels.diff_conv import gpu

        if gpu.mixes_in_place(size, out, weight.size(1)):
            y = gpu.diff_conv_forward(x, mix, rowptr, col, weight)
    if y is None:
        y = products.forward(x, mix, rowptr, col, weight)
    if bias is not None:
        y += bias
    if relu:
        y.relu_()
    return y if residual is None else y.add_(residual)


@operator(diff_conv_backward_reference)
def diff_conv_backward(
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
    r"""The gradients of :func:`diff_conv` with respect to ``x`` and ``mix``, empty if not asked.

    .. math::
        \bar x_{j, g c} = \sum_{t, o} u_{j, t, g o} \, M_{g, t, c, o}, \qquad
        \bar M_{g, t, c, o} = \sum_j x_{j, g c} \, u_{j, t, g o}

    Both need the same derivatives :math:`u` of the gradient in the transposed graph.
    """
    _check(x, mix, rowptr_t, col_t, weight_t)
    groups, _, size, out = mix.shape
    none = x.new_empty(0)
    check_shape("grad", grad, [x.size(0), groups * out])
    check_alike(x, grad=grad)
    graph, transposed = (rowptr, col, weight), (rowptr_t, col_t, weight_t)
    backend = backend_for(x)
    if backend == "cpu":
        from mgic_geo.kernels.diff_conv import cpu, padding

        if plan := cpu.diff_conv_plan(groups, size, out, x.dtype, weight.size(1)):
            return padding.padded_backward(plan, grad, x, mix, transposed, into_x, into_mix)
    if backend == "gpu":
        from mgic_geo.kernels.diff_conv import gpu

        if gpu.mixes_in_place(size, out, weight.size(1)):
            if into_x and into_mix:
                return gpu.diff_conv_backward(grad, x, mix, *transposed)
            if into_x:
                return gpu.diff_conv_forward(grad, mix.transpose(2, 3), *transposed), none
            return none, gpu.diff_conv_grad_mix(grad, x, groups, *transposed)
    check_graph(x, *graph[:2], x.size(0), weight)
    return products.backward(grad, x, mix, graph, transposed, into_x, into_mix)


@diff_conv.register_fake
def _(x: Tensor, mix: Tensor, rowptr: Tensor, *_: Any) -> Tensor:
    return x.new_empty(rowptr.size(0) - 1, mix.size(0) * mix.size(3))


@diff_conv_backward.register_fake
def _(grad: Tensor, x: Tensor, mix: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    into_x, into_mix = rest[-2:]
    none = x.new_empty(0)
    return (
        x.new_empty(x.shape) if into_x else none,
        torch.empty_like(mix, memory_format=torch.contiguous_format) if into_mix else none,
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, mix, *graph, bias, relu, residual = inputs
    ctx.plain = bias is None and not relu and residual is None
    ctx.save_for_backward(x, mix, *graph)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    if not ctx.plain:
        raise RuntimeError("diff_conv with bias, relu or residual is for inference: no gradient")
    into_x, into_mix = ctx.needs_input_grad[:2]
    grad_x, grad_mix = diff_conv_backward(grad.contiguous(), *ctx.saved_tensors, into_x, into_mix)
    return grad_x if into_x else None, grad_mix if into_mix else None, *([None] * 9)


diff_conv.register_autograd(_backward, setup_context=_setup)


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.into_x, ctx.into_mix = inputs[-2:]
    ctx.save_for_backward(*inputs[:-2])


def _backward_backward(ctx: Any, v: Tensor, w: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients are bilinear: in (grad, mix) that of x, in (x, grad) that of mix."""
    grad, x, mix, *graph = ctx.saved_tensors
    v, w = v.contiguous(), w.contiguous()
    to_grad, to_x, to_mix = torch.zeros_like(grad), None, None
    if ctx.into_x:
        to_grad = to_grad + diff_conv(v, mix, *graph)
        to_mix = diff_conv_backward(grad, v, mix, *graph, False, True)[1]
    if ctx.into_mix:
        to_grad = to_grad + diff_conv(x, w, *graph)
        to_x = diff_conv_backward(grad, x, w, *graph, True, False)[0]
    return to_grad, to_x, to_mix, *([None] * 8)


diff_conv_backward.register_autograd(_backward_backward, setup_context=_setup_backward)


# Two flops are one multiply-accumulate, as torch counts its own operators.
@register_flop_formula(diff_conv.op.overloadpacket)
def _flops(x: torch.Size, mix: torch.Size, rowptr: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * (rowptr[0] - 1) * mix.numel()


@register_flop_formula(diff_conv_backward.op.overloadpacket)
def _flops_backward(grad: torch.Size, x: torch.Size, mix: torch.Size, *rest: Any, **_: Any) -> int:
    return 2 * x[0] * mix.numel() * (rest[-2] + rest[-1])
