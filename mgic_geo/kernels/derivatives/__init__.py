"""Derivative operators of a graph with positions, and their transposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mgic_geo.errors import DataError
from mgic_geo.kernels.checks import check_graph
from mgic_geo.kernels.derivatives.reference import Operators, derivative_operators_reference
from mgic_geo.kernels.dispatch import takes_compiled
from mgic_geo.kernels.operator import operator

__all__ = [
    "FITS",
    "derivative_operators",
    "derivative_operators_reference",
]

FITS = ("average", "least_squares")


def _check_graph(pos: Tensor, rowptr: Tensor, col: Tensor, fit: str) -> None:
    if pos.dim() != 2 or not pos.size(1) or not pos.is_floating_point():
        raise ValueError(f"pos must be [N, D] of numbers, got {pos.dtype} {list(pos.shape)}")
    if fit not in FITS:
        raise ValueError(f"fit = {fit!r}: use one of {FITS}")
    check_graph(pos, rowptr, col, pos.size(0))


def _check(pos: Tensor, rowptr: Tensor, col: Tensor, fit: str) -> None:
    _check_graph(pos, rowptr, col, fit)
    _check_longest(_longest(pos, rowptr, col), pos, col)


def _check_longest(longest: float, pos: Tensor, col: Tensor) -> None:
    if col.numel() and not 0.0 < longest < float("inf"):  # no edges: no derivatives, no error
        what = "coincide" if longest == 0.0 else "are not all finite"
        raise DataError(f"the {pos.size(0)} points {what}: no derivatives can be taken")


@operator(derivative_operators_reference, _check)
def derivative_operators(pos: Tensor, rowptr: Tensor, col: Tensor, fit: str) -> Operators:
    """Builds the fields of :class:`~mgic_geo.graph.DifferentialOperators`; see there for formulas.

    Args:
        pos: Positions ``[N, D]``.
        rowptr: First edge of each node, int32 ``[N + 1]``.
        col: Neighbour of each edge, int32 ``[E]``.
        fit: ``"average"`` or ``"least_squares"``.

    Returns:
        Row pointers ``[N + 1]``, columns ``[E + N]`` and weights ``[E + N, 2 D]`` of the operators,
        then of the transposed ones. The weights have gradients.

    Raises:
        ValueError: Shapes, types or devices do not fit.
        DataError: Positions are not finite, or all of them coincide; the graph is damaged, or
            names other nodes.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import derivative_operators, group_edges
        >>> pos = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
        >>> graph = group_edges(torch.tensor([[1, 0], [0, 1]]), num_nodes=2)
        >>> rowptr, col, weight, *transposed = derivative_operators(pos, *graph, "average")
        >>> rowptr.tolist(), weight.shape
        ([0, 2, 4], torch.Size([4, 6]))
        >>> weight[:2, 0].tolist()  # G_x of node 0: the distance cancels
        [1.0, -1.0]
    """
    _check_graph(pos, rowptr, col, fit)
    if fit == "average" and pos.size(1) == 3 and takes_compiled(pos):
        from mgic_geo.kernels.derivatives import cpu

        longest, made = cpu.derivative_operators(pos, rowptr, col)
        _check_longest(longest, pos, col)
        return made  # type: ignore[return-value]
    _check_longest(_longest(pos, rowptr, col), pos, col)
    return tuple(  # type: ignore[return-value]
        t.contiguous() for t in derivative_operators_reference(pos, rowptr, col, fit)
    )


def _longest(pos: Tensor, rowptr: Tensor, col: Tensor) -> float:
    """The longest edge."""
    if not col.numel():
        return 0.0
    pos = pos.detach()
    start = torch.repeat_interleave(pos, rowptr.diff().long(), dim=0, output_size=col.size(0))
    return float((pos[col.long()] - start).norm(dim=-1).max())


@derivative_operators.register_fake
def _(pos: Tensor, rowptr: Tensor, col: Tensor, fit: str) -> Operators:
    entries = col.size(0) + rowptr.size(0) - 1

    def fields() -> list[Tensor]:
        weight = pos.new_empty(entries, 2 * pos.size(1))
        return [rowptr.new_empty(rowptr.size(0)), col.new_empty(entries), weight]

    return (*fields(), *fields())  # type: ignore[return-value]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Sequence[Tensor]) -> None:
    *tensors, ctx.fit = inputs
    ctx.save_for_backward(*tensors)
    ctx.mark_non_differentiable(*(t for t in output if t.dtype == torch.int32))


def _backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    """Anew and in plain torch, to be differentiated in turn."""
    pos, rowptr, col = ctx.saved_tensors
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        if not again:
            pos = pos.detach().requires_grad_()
        made = derivative_operators_reference(pos, rowptr, col, ctx.fit)
        weights, given = (made[2], made[5]), (grads[2], grads[5])
        (of_pos,) = torch.autograd.grad(weights, pos, given, create_graph=again)
    return of_pos, None, None, None


derivative_operators.register_autograd(_backward, setup_context=_setup)


@register_flop_formula(derivative_operators.op.overloadpacket)
def _flops(*_: Any, **__: Any) -> int:
    return 0
