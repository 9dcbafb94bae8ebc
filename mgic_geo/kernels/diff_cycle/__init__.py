"""A whole V-cycle of DiffGCN relaxations as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode
from torch.utils.flop_counter import register_flop_formula

from mgic_geo.kernels.checks import check_alike, check_features, check_graph, check_shape
from mgic_geo.kernels.correction import has_correction
from mgic_geo.kernels.diff_cycle.reference import by_grid, diff_cycle_plain, diff_cycle_reference
from mgic_geo.kernels.dispatch import lanes
from mgic_geo.kernels.operator import operator

# Larger groups are left to matrix products; as in diff_conv.
_LARGEST_GROUP = 64


def has_diff_cycle(x: Tensor, parameters: Sequence[Tensor]) -> bool:
    """Whether :func:`diff_cycle` has compiled kernels for all of its grids."""
    if (width := lanes(x)) == 0 or x.dim() != 2 or x.size(0) < 2:
        return False
    for mix, scale, _, *transfer in by_grid(parameters):
        groups, _, size, out = map(int, mix.shape)
        # What fills whole registers: padding would cost the visits that this operator saves.
        whole = size % width == 0 or (width % size == 0 and groups % (width // size) == 0)
        if size != out or size > _LARGEST_GROUP or not whole:
            return False
        if int(scale.numel()) % width:
            return False
        for groups, out, size in (map(int, w.shape) for w in transfer[:2]):
            if not has_correction(x, groups, size, out):
                return False
    return True


@operator(diff_cycle_plain, constants=["weight"])
def diff_cycle(
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
    r"""Algorithm 1 in training with the relaxation :math:`\sigma(N(K(u))) + u`.

    .. math::
        x_{j+1} = R_j x_j, \qquad
        u_j = x_j + N_j(P_j(y_{j+1} - x_{j+1})), \qquad
        y_j = \sigma(N(K_j u_j)) + u_j

    with :math:`K_j` as in :func:`mgic_geo.kernels.diff_conv`, batch norms :math:`N` by the
    statistics of the batch, and :math:`u_n = x_n` on the coarsest grid. One operator instead of
    one a step writes fewer intermediate results and adds no gradients outside of its kernels.

    Args:
        x: Features :math:`x_0`, ``[N, C]``.
        parameters: Grid by grid, the finest first: ``mix``, scale and shift of the relaxation; then
            but for the coarsest grid the weights of :math:`R_j` and :math:`P_j` and scale and shift
            of :math:`N_j`.
        rowptr: The graph and its transpose, as in :func:`mgic_geo.kernels.diff_conv`.
        col: See there.
        weight: See there.
        rowptr_t: See there.
        col_t: See there.
        weight_t: See there.
        eps: Added to each variance.

    Returns:
        :math:`y_0` ``[N, C]``; mean and (biased) variance of each norm's input in the order of the
        computation, from the coarsest grid on; and what the backward pass wants to see again. Only
        the first has a gradient.
    """
    if not has_diff_cycle(x, parameters):
        y, statistics = diff_cycle_reference(x, parameters, rowptr, col, weight, eps)
        return y, statistics, []
    _check(x, parameters)
    check_graph(x, rowptr, col, x.size(0), weight)
    from mgic_geo.kernels.diff_cycle import cpu

    return cpu.diff_cycle_forward(x.contiguous(), by_grid(parameters), (rowptr, col, weight), eps)


def _check(x: Tensor, parameters: Sequence[Tensor]) -> None:
    """The widths of all grids follow from each other."""
    for mix, scale, shift, *transfer in by_grid(parameters):
        channels = mix.size(0) * mix.size(2)
        check_features(x, channels)
        check_shape("scale", scale, [channels])
        check_shape("shift", shift, [channels])
        check_alike(x, mix=mix, scale=scale, shift=shift)
        if mix.size(1) != 7:
            raise ValueError(f"mix must be [groups, 7, *, *], got {list(mix.shape)}")
        if transfer:
            down, up, scale, shift = transfer
            groups, half, size = down.shape
            check_features(x, groups * size)
            check_shape("prolongation", up, [groups, size, half])
            check_shape("scale", scale, [channels])
            check_shape("shift", shift, [channels])
            check_alike(x, restriction=down, prolongation=up, scale=scale, shift=shift)
            x = x[:, : groups * half]


def _gradients(
    grad: Tensor, inputs: Sequence[Tensor], graph: Sequence[Tensor], eps: float
) -> tuple[Tensor, ...]:
    """Anew and in plain torch, to be differentiated in turn."""
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        if not differentiable:
            inputs = [t.detach().requires_grad_() for t in inputs]
        rowptr, col, weight = graph[:3]
        y, _ = diff_cycle_reference(inputs[0], inputs[1:], rowptr, col, weight, eps)
        return torch.autograd.grad(y, inputs, grad, create_graph=differentiable)


def _backward_plain(
    grad: Tensor,
    x: Tensor,
    parameters: list[Tensor],
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    rowptr_t: Tensor,
    col_t: Tensor,
    weight_t: Tensor,
    statistics: list[Tensor],
    kept: list[Tensor],
    eps: float,
) -> list[Tensor]:
    return list(_gradients(grad, [x, *parameters], (rowptr, col, weight), eps))


@operator(_backward_plain)
def diff_cycle_backward(
    grad: Tensor,
    x: Tensor,
    parameters: list[Tensor],
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    rowptr_t: Tensor,
    col_t: Tensor,
    weight_t: Tensor,
    statistics: list[Tensor],
    kept: list[Tensor],
    eps: float,
) -> list[Tensor]:
    """Gradients of :func:`diff_cycle` with respect to ``x`` and the parameters; compiled only.

    Empties ``kept``.
    """
    _check(x, parameters)
    check_shape("grad", grad, list(x.shape))
    check_graph(x, rowptr_t, col_t, x.size(0), weight_t)
    from mgic_geo.kernels.diff_cycle import cpu

    return cpu.diff_cycle_backward(
        grad.contiguous(), x.contiguous(), by_grid(parameters), (rowptr_t, col_t, weight_t),
        statistics, kept, eps,
    )  # fmt: skip


@diff_cycle.register_fake
def _(x: Tensor, parameters: list[Tensor], *_: Any) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    grids = by_grid(parameters)
    features = [x.new_empty(x.size(0), scale.numel()) for _, scale, *_ in grids]
    statistics: list[Tensor] = []
    kept: list[Tensor] = []
    for j in range(len(grids) - 1, -1, -1):
        like, width = features[j], grids[j][1]
        if j < len(grids) - 1:
            groups, size = grids[j][4].size(0), grids[j][4].size(2)
            statistics += [torch.empty_like(width), torch.empty_like(width)]
            kept += [x.new_empty(groups * size), x.new_empty(groups, size, size)]
            kept += [torch.empty_like(like)]
        statistics += [torch.empty_like(width), torch.empty_like(width)]
        kept.append(torch.empty_like(like))
    return features[0], statistics, kept if has_diff_cycle(x, parameters) else []


@diff_cycle_backward.register_fake
def _(grad: Tensor, x: Tensor, parameters: list[Tensor], *_: Any) -> list[Tensor]:
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t in (x, *parameters)]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    x, parameters, *ctx.graph, ctx.eps = inputs
    _, statistics, kept = output
    ctx.mark_non_differentiable(*statistics, *kept)
    ctx.set_materialize_grads(False)
    ctx.counts = len(parameters), len(statistics)
    ctx.save_for_backward(x, *parameters, *statistics, *kept)


def _backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Any, ...]:
    learned, measured = ctx.counts
    x, *rest = ctx.saved_tensors
    parameters, statistics = rest[:learned], rest[learned : learned + measured]
    kept = rest[learned + measured :]
    del rest
    if grad is None:
        return None, [None] * learned, *([None] * 7)
    args: list[Any] = [grad, x, parameters, *ctx.graph, statistics, kept, ctx.eps]
    if not kept:
        of_x, *of_parameters = _gradients(grad, [x, *parameters], ctx.graph, ctx.eps)
    elif type(grad) is Tensor and not (torch.is_grad_enabled() or is_in_torch_dispatch_mode()):
        # Straight to the kernels: an operator's call holds all of its arguments until its end.
        ctx.maybe_clear_saved_tensors()  # unless the graph is retained
        of_x, *of_parameters = diff_cycle_backward.__wrapped__(*args)
    else:
        of_x, *of_parameters = diff_cycle_backward(*args)
    return of_x, of_parameters, *([None] * 7)


diff_cycle.register_autograd(_backward, setup_context=_setup)


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    grad, x, parameters, *ctx.graph, _, _, ctx.eps = inputs
    ctx.save_for_backward(grad, x, *parameters)
    ctx.others = len(inputs[-3]), len(inputs[-2])


def _backward_backward(ctx: Any, upstream: list[Tensor]) -> tuple[Any, ...]:
    with torch.enable_grad():
        inputs = [t.detach().requires_grad_() for t in ctx.saved_tensors]
        found = _gradients(inputs[0], inputs[1:], ctx.graph, ctx.eps)
        to_grad, to_x, *to_parameters = torch.autograd.grad(
            found, inputs, upstream, allow_unused=True
        )
    statistics, kept = ([None] * count for count in ctx.others)
    return to_grad, to_x, to_parameters, *([None] * 6), statistics, kept, None


diff_cycle_backward.register_autograd(_backward_backward, setup_context=_setup_backward)


@register_flop_formula(diff_cycle.op.overloadpacket)
def _flops(x: torch.Size, parameters: list[torch.Size], *_: Any, **__: Any) -> int:
    # maps, restrictions and prolongations; scales and shifts of norms have one axis
    return 2 * x[0] * sum(weight.numel() for weight in parameters if len(weight) > 1)


@register_flop_formula(diff_cycle_backward.op.overloadpacket)
def _flops_backward(
    grad: torch.Size, x: torch.Size, parameters: list[torch.Size], *_: Any, **__: Any
) -> int:
    return 2 * _flops(x, parameters)
