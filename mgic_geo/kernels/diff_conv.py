"""Derivatives on a graph and their grouped mixing as one operator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mgic_geo.kernels._dispatch import compiled, use_compiled


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
    f = derive(x, rowptr, col, weight)
    f = f.unflatten(-1, (mix.size(0), mix.size(2)))
    return torch.einsum("ntgc,gtco->ngo", f, mix).flatten(1)


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
) -> Tensor:
    r"""Grouped mixing of a node's features and derivatives.

    .. math::
        y_{i, g o} = \sum_{t, c} f_{i, t, g c} \, M_{g, t, c, o}

    with :math:`f` as in :func:`derive`. It is linear in ``x`` and in ``mix``; the gradient with
    respect to ``x`` is the same operator on the transposed graph, which therefore comes along
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

    Returns:
        ``[N, C_out]``
    """
    groups, _, size, out = mix.shape
    _check(x, groups * size, rowptr)
    if use_compiled(x) and compiled.mixes_in_place(size, out):
        return torch.from_numpy(compiled.diff_forward(*_arrays(x, mix, rowptr, col, weight)))
    f = _features(x, rowptr, col, weight).unflatten(-1, (groups, size))
    return torch.einsum("ntgc,gtco->ngo", f, mix).flatten(1)


def _arrays(x: Tensor, *tensors: Tensor) -> list[Any]:
    """Contiguous arrays; what is not an index gets the type of ``x``."""
    same = (t if t.dtype == torch.int32 else t.to(x.dtype) for t in (x, *tensors))
    return [t.detach().contiguous().numpy() for t in same]


def _features(x: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor) -> Tensor:
    """:func:`derive`, compiled where that is possible."""
    if use_compiled(x):
        return torch.from_numpy(compiled.derive(*_arrays(x, rowptr, col, weight)))
    return derive(x, rowptr, col, weight)


def _check(x: Tensor, channels: int, rowptr: Tensor) -> None:
    """The compiled kernels read without asking again."""
    if x.dim() != 2 or x.size(1) != channels:
        raise ValueError(f"x must be [N, {channels}], got {list(x.shape)}")
    if x.size(0) != rowptr.size(0) - 1:
        raise ValueError(
            f"x has {x.size(0)} nodes, the graph has {rowptr.size(0) - 1}: "
            "these operators belong to other points"
        )


@torch.library.custom_op("mgic_geo::diff_conv_grad_mix", mutates_args=())
def diff_conv_grad_mix(
    x: Tensor,
    grad: Tensor,
    groups: int,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    rowptr_t: Tensor,
    col_t: Tensor,
    weight_t: Tensor,
) -> Tensor:
    """Gradient of :func:`diff_conv` with respect to ``mix``, bilinear in ``x`` and ``grad``."""
    size, out = x.size(1) // groups, grad.size(1) // groups
    if use_compiled(x) and compiled.mixes_in_place(size, out):
        a, b, *graph = _arrays(x, grad, rowptr, col, weight)
        return torch.from_numpy(compiled.diff_grad_mix(a, b, groups, *graph))
    f = _features(x, rowptr, col, weight).unflatten(-1, (groups, size))
    return torch.einsum("ntgc,ngo->gtco", f, grad.unflatten(-1, (groups, out)))


@diff_conv.register_fake
def _(x: Tensor, mix: Tensor, rowptr: Tensor, *_: Tensor) -> Tensor:
    return x.new_empty(rowptr.size(0) - 1, mix.size(0) * mix.size(3))


@diff_conv_grad_mix.register_fake
def _(
    x: Tensor, grad: Tensor, groups: int, rowptr: Tensor, col: Tensor, weight: Tensor, *_: Tensor
) -> Tensor:
    shape = (groups, weight.size(1) + 1, x.size(1) // groups, grad.size(1) // groups)
    return x.new_empty(shape)


def _transposed(mix: Tensor) -> Tensor:
    return mix.transpose(2, 3).contiguous()


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, mix, *graph = inputs
    ctx.save_for_backward(x, mix, *graph)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, mix, *graph = ctx.saved_tensors
    grad_x = grad_mix = None
    grad = grad.contiguous()
    if ctx.needs_input_grad[0]:
        grad_x = diff_conv(grad, _transposed(mix), *graph[3:], *graph[:3])
    if ctx.needs_input_grad[1]:
        grad_mix = diff_conv_grad_mix(x, grad, mix.size(0), *graph)
    return grad_x, grad_mix, *([None] * 6)


diff_conv.register_autograd(_backward, setup_context=_setup)


def _setup_grad_mix(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, grad, _, *graph = inputs
    ctx.save_for_backward(x, grad, *graph)


def _backward_grad_mix(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
    x, grad, *graph = ctx.saved_tensors
    grad_x = diff_conv(grad, _transposed(v), *graph[3:], *graph[:3])
    return grad_x, diff_conv(x, v.contiguous(), *graph), *([None] * 7)


diff_conv_grad_mix.register_autograd(_backward_grad_mix, setup_context=_setup_grad_mix)
