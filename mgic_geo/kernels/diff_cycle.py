"""A whole V-cycle of DiffGCN relaxations as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from mgic_geo.kernels._dispatch import fused_for, lanes
from mgic_geo.kernels.correction import correction_reference, has_correction
from mgic_geo.kernels.diff_conv import diff_conv_reference
from mgic_geo.kernels.norm_act import norm_act_reference
from mgic_geo.kernels.pointwise import grouped_pointwise_reference

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
    """What :func:`diff_cycle` computes, in plain torch: the result, and means and variances."""
    grids = _grids(parameters)
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


def has_diff_cycle(x: Tensor, parameters: Sequence[Tensor]) -> bool:
    """Whether :func:`diff_cycle` has compiled kernels for all of its grids."""
    if (width := lanes(x)) == 0 or x.dim() != 2 or x.size(0) < 2:
        return False
    for mix, scale, _, *transfer in _grids(parameters):
        groups, _, size, out = map(int, mix.shape)
        # What fills whole registers: padding would cost the visits that this operator saves.
        whole = size % width == 0 or (width % size == 0 and groups % (width // size) == 0)
        if size != out or size > fused_for(x).LARGEST_GROUP or not whole:
            return False
        if int(scale.numel()) % width:
            return False
        for groups, out, size in (map(int, w.shape) for w in transfer[:2]):
            if not has_correction(x, groups, size, out):
                return False
    return True


@torch.library.custom_op("mgic_geo::diff_cycle", mutates_args=())
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
    done: tuple[Tensor, list[Tensor], list[Tensor]] = fused_for(x).diff_cycle_forward(
        x.contiguous(), _grids(parameters), (rowptr, col, weight), eps
    )
    return done


def _run_backward(
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
    done: list[Tensor] = fused_for(x).diff_cycle_backward(
        grad.contiguous(), x.contiguous(), _grids(parameters), (rowptr_t, col_t, weight_t),
        statistics, kept, eps,
    )  # fmt: skip
    return done


diff_cycle_backward = torch.library.custom_op(
    "mgic_geo::diff_cycle_backward", _run_backward, mutates_args=()
)


def _grids(parameters: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    return [parameters[i : i + _OF_GRID] for i in range(0, len(parameters), _OF_GRID)]


@diff_cycle.register_fake
def _(x: Tensor, parameters: list[Tensor], *_: Any) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    grids = _grids(parameters)
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
        of_x, *of_parameters = _run_backward(*args)
    else:
        of_x, *of_parameters = diff_cycle_backward(*args)
    return of_x, of_parameters, *([None] * 7)


diff_cycle.register_autograd(_backward, setup_context=_setup)


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
