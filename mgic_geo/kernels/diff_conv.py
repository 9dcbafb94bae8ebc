"""Derivatives on a graph and their grouped mixing as one operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mgic_geo.kernels import _dispatch
from mgic_geo.kernels._dispatch import compiled_for, fused_for, triton_for

# Derivatives held at once where they are not mixed in place: 4 MiB in float32, or those of so many
# nodes that the products read the weights seldom.
_CHUNK = 2**20
_FEWEST_NODES = 1024


def derive(x: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor) -> Tensor:
    r"""Features and derivatives of every node, in plain torch.

    .. math::
        f_{i,0} = x_i, \qquad f_{i,t} = \sum_{e=(i,j)} w_{e,t} \, x_j

    Args:
        x: Features ``[N, C]``.
        rowptr: First edge of each node, int32 ``[N + 1]``.
        col: Neighbour :math:`j` of each edge, int32 ``[E]``.
        weight: ``[E, T]``.

    Returns:
        ``[N, T + 1, C]``
    """
    nodes = torch.arange(x.size(0), device=x.device)
    target = torch.repeat_interleave(nodes, rowptr.diff().long(), output_size=col.size(0))
    neighbors = x[col.long()]
    terms = [
        torch.zeros_like(x).index_add(0, target, w.unsqueeze(-1) * neighbors)
        for w in weight.to(x.dtype).unbind(-1)
    ]
    return torch.stack([x, *terms], dim=1)


def diff_conv_reference(
    x: Tensor, mix: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor
) -> Tensor:
    """What :func:`diff_conv` computes, in plain torch, with ``[N, T + 1, C]`` written to memory."""
    return _mix(derive(x, rowptr, col, weight), mix)


@torch.library.custom_op("mgic_geo::diff_conv", mutates_args=())
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
    ready-made.

    Args:
        x: Features ``[N, C]``, float32 or float64.
        mix: ``[groups, T + 1, C / groups, C_out / groups]``.
        rowptr: int32 ``[N + 1]``.
        col: int32 ``[E]``.
        weight: ``[E, T]``, T a multiple of 3.
        rowptr_t: Row pointers of the transposed graph.
        col_t: Its columns.
        weight_t: Its weights.
        bias: ``[C_out]``, added to the result. This and the next two are for inference and have no
            gradient.
        relu: Cut the result off at 0.
        residual: ``[N, C_out]``, added last.

    Returns:
        ``[N, C_out]``
    """
    groups, _, size, out = mix.shape
    _check(x, groups * size, rowptr)
    if (fused := fused_for(x)) is not None and (
        plan := fused.diff_conv_plan(groups, size, out, x.dtype)
    ):
        done = fused.diff_conv_forward(
            plan, *_padded(plan, x, mix), rowptr, col, weight,
            _pad_columns(plan, groups, bias), relu, _pad_columns(plan, groups, residual),
        )  # fmt: skip
        return _trimmed(done, groups, out, plan.size)
    gpu = triton_for(x)
    if gpu is not None and gpu.mixes_in_place(size, out):
        y: Tensor = gpu.diff_conv_forward(x, mix, rowptr, col, weight)
    else:
        y = x.new_empty(x.size(0), groups * out)
        for rows, f in _derivatives(x, rowptr, col, weight):
            y[rows] = _mix(f, mix)
    if bias is not None:
        y += bias
    if relu:
        y.relu_()
    return y if residual is None else y.add_(residual)


@torch.library.custom_op("mgic_geo::diff_conv_backward", mutates_args=())
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
    groups, _, size, out = mix.shape
    none = x.new_empty(0)
    fused = fused_for(x)
    if fused is not None and (plan := fused.diff_conv_plan(groups, size, out, x.dtype)):
        wide_x, wide_mix = _padded(plan, x, mix)
        wide_grad = _pad_columns(plan, groups, grad)
        grad_x, grad_mix = fused.diff_conv_backward(
            plan, wide_grad, wide_x, wide_mix, rowptr_t, col_t, weight_t, into_x, into_mix
        )
        if into_x:
            grad_x = _trimmed(grad_x, groups, size, plan.size)
        if into_mix:
            grad_mix = grad_mix[:groups, :, :size, :out].contiguous()
        return grad_x if into_x else none, grad_mix if into_mix else none
    gpu = triton_for(x)
    if gpu is not None and gpu.mixes_in_place(size, out):
        transposed = (rowptr_t, col_t, weight_t)
        if into_x and into_mix:
            both: tuple[Tensor, Tensor] = gpu.diff_conv_backward(grad, x, mix, *transposed)
            return both
        if into_x:
            return gpu.diff_conv_forward(grad, mix.transpose(2, 3), *transposed), none
        return none, gpu.diff_conv_grad_mix(grad, x, groups, *transposed)
    grad_x = x.new_empty(x.shape) if into_x else none
    grad_mix = torch.zeros_like(mix) if into_mix else none
    if not into_x and size <= out:  # then the derivatives of x are the smaller ones
        for rows, f in _derivatives(x, rowptr, col, weight):
            grad_mix += _moments(f, grad[rows], groups)
        return grad_x, grad_mix
    back = mix.transpose(2, 3).contiguous()
    sums = torch.zeros_like(back) if into_mix else none
    for rows, u in _derivatives(grad, rowptr_t, col_t, weight_t):
        if into_x:
            grad_x[rows] = _mix(u, back)
        if into_mix:
            sums += _moments(u, x[rows], groups)
    if into_mix:
        grad_mix = sums.transpose(2, 3).contiguous()
    return grad_x, grad_mix


def _mix(f: Tensor, mix: Tensor) -> Tensor:
    """``[N, T + 1, C]`` times the weights."""
    groups, terms, size, out = mix.shape
    if groups == 1:
        return f.flatten(1) @ mix.reshape(terms * size, out)
    return torch.einsum("ntgc,gtco->ngo", f.unflatten(-1, (groups, size)), mix).flatten(1)


def _moments(f: Tensor, other: Tensor, groups: int) -> Tensor:
    """``[groups, T + 1, C / groups, C_other / groups]``, sums over the nodes."""
    if groups == 1:
        return (f.flatten(1).T @ other).unflatten(0, (f.size(1), -1)).unsqueeze(0)
    f, other = f.unflatten(-1, (groups, -1)), other.unflatten(-1, (groups, -1))
    return torch.einsum("ntgc,ngo->gtco", f, other)


def _derivatives(
    x: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """:func:`derive` for some nodes after the other, so that the result stays in the cache."""
    weight = weight.to(x.dtype)
    if (compiled := compiled_for(x)) is None:
        gpu = triton_for(x)
        yield slice(None), (derive if gpu is None else gpu.derive)(x, rowptr, col, weight)
        return
    arrays = _dispatch.arrays(x, rowptr, col, weight)
    step = max(_CHUNK // max(x.size(1) * (weight.size(1) + 1), 1), _FEWEST_NODES)
    for start in range(0, x.size(0), step):
        rows = slice(start, min(start + step, x.size(0)))
        yield rows, torch.from_numpy(compiled.derive(*arrays, rows.start, rows.stop))


def _padded(plan: Any, x: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
    """Input and weights with zeros where the plan is wider than the groups."""
    groups, _, size, out = mix.shape
    more = plan.groups - groups
    if more or plan.size != size or plan.size != out:
        mix = torch.nn.functional.pad(
            mix, (0, plan.size - out, 0, plan.size - size, 0, 0, 0, more)
        )  # fmt: skip
    wide = _pad_columns(plan, groups, x)
    assert wide is not None
    return wide, mix


def _pad_columns(plan: Any, groups: int, x: Tensor | None) -> Tensor | None:
    """Each group of the last axis filled up to the plan's size, and groups to their number."""
    if x is None or x.size(-1) == plan.groups * plan.size:
        return x
    parts = x.unflatten(-1, (groups, -1))
    widened = (0, plan.size - parts.size(-1), 0, plan.groups - groups)
    return torch.nn.functional.pad(parts, widened).flatten(-2)


def _trimmed(y: Tensor, groups: int, size: int, wide: int) -> Tensor:
    """What :func:`_pad_columns` added, taken off."""
    if y.size(-1) == groups * size:
        return y
    return y.unflatten(-1, (-1, wide))[:, :groups, :size].flatten(1)


def _check(x: Tensor, channels: int, rowptr: Tensor) -> None:
    """The compiled kernels read without asking again."""
    if x.dim() != 2 or x.size(1) != channels:
        raise ValueError(f"x must be [N, {channels}], got {list(x.shape)}")
    if x.size(0) != rowptr.size(0) - 1:
        raise ValueError(
            f"x has {x.size(0)} nodes, the graph has {rowptr.size(0) - 1}: "
            "these operators belong to other points"
        )


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
