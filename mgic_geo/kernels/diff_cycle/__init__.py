"""A whole V-cycle of DiffGCN relaxations as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mgic_geo.kernels.checks import check_alike, check_features, check_graph, check_shape
from mgic_geo.kernels.correction import has_correction
from mgic_geo.kernels.diff_conv.products import LARGEST_GROUP
from mgic_geo.kernels.diff_cycle.reference import by_grid, diff_cycle_plain, diff_cycle_reference
from mgic_geo.kernels.dispatch import is_readable, lanes, runs_plain
from mgic_geo.kernels.operator import operator

__all__ = [
    "diff_cycle",
    "diff_cycle_backward",
    "diff_cycle_reference",
    "has_diff_cycle",
]

Shape = tuple[int, ...]


def has_diff_cycle(x: Tensor, parameters: Sequence[Tensor]) -> bool:
    """Whether :func:`diff_cycle` has compiled kernels for all of its grids."""
    if (width := lanes(x)) == 0 or x.dim() != 2 or x.size(0) < 2:
        return False
    for mix, scale, _, *transfer in by_grid(parameters):
        groups, _, size, out = map(int, mix.shape)
        # What fills whole registers: padding would cost the visits that this operator saves.
        whole = size % width == 0 or (width % size == 0 and groups % (width // size) == 0)
        if size != out or size > LARGEST_GROUP or not whole:
            return False
        if int(scale.numel()) % width:
            return False
        for groups, out, size in (map(int, w.shape) for w in transfer[:2]):
            if not has_correction(x, groups, size, out):
                return False
    return True


def _check(
    x: Tensor,
    parameters: Sequence[Tensor],
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    *_: Any,
) -> None:
    """The widths of all grids follow from each other."""
    check_features(x, x.size(-1))
    check_graph(x, rowptr, col, x.size(0), weight, 6)
    width = x.size(-1)
    for mix, scale, shift, *transfer in by_grid(parameters):
        size = width // max(mix.size(0), 1)
        check_shape("mix", mix, [mix.size(0), 7, size, size])
        norms = {"scale": scale, "shift": shift}
        maps = {"mix": mix}
        if transfer:
            down, up, norms["scale of N"], norms["shift of N"] = transfer
            groups, half = down.size(0), down.size(1)
            check_shape("restriction", down, [width // max(2 * half, 1), half, 2 * half])
            check_shape("prolongation", up, [groups, 2 * half, half])
            maps |= {"restriction": down, "prolongation": up}
        for name, t in norms.items():
            check_shape(name, t, [width])
        check_alike(x, **norms, **maps)
        width //= 2


@operator(diff_cycle_plain, _check, constants=["weight"])
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
            the weights of :math:`R_j` and :math:`P_j`, and scale and shift of :math:`N_j`. The
            coarsest grid has only the first three. ``mix`` is ``[groups, 7, c_j / groups, c_j /
            groups]``, the others are as in :func:`mgic_geo.kernels.correction`.
        rowptr: First edge of each node, int32 ``[N + 1]``.
        col: Neighbour of each edge, int32 ``[E]``.
        weight: Weights of the six operators, ``[E, 6]``.
        rowptr_t: Row pointers of the transposed graph, int32 ``[N + 1]``.
        col_t: Its columns, int32 ``[E]``.
        weight_t: Its weights, ``[E, 6]``.
        eps: Added to each variance.

    Returns:
        :math:`y_0` ``[N, C]``; mean and (biased) variance of each norm's input in the order of the
        computation, from the coarsest grid on; and what the backward pass reads again. Only
        :math:`y_0` has a gradient.

    Raises:
        ValueError: Shapes, types or devices do not fit.
        DataError: The graph is damaged, or names other nodes.

    Example:
        >>> import torch
        >>> from mgic_geo.graph import differential_operators, knn_graph
        >>> from mgic_geo.kernels import diff_cycle
        >>> pos = torch.rand(16, 3)
        >>> operators = differential_operators(pos, knn_graph(pos, k=4))
        >>> fine = [torch.randn(2, 7, 4, 4), torch.ones(8), torch.zeros(8)]  # mix, scale, shift
        >>> transfer = [torch.rand(2, 2, 4), torch.rand(2, 4, 2), torch.ones(8), torch.zeros(8)]
        >>> coarse = [torch.randn(1, 7, 4, 4), torch.ones(4), torch.zeros(4)]
        >>> parameters = fine + transfer + coarse
        >>> y, statistics, _ = diff_cycle(torch.randn(16, 8), parameters, *operators, 1e-5)
        >>> y.shape, len(statistics)  # three norms: two relaxations, one prolongation
        (torch.Size([16, 8]), 6)
    """
    _check(x, parameters, rowptr, col, weight)
    if not has_diff_cycle(x, parameters):
        y, statistics = diff_cycle_reference(x, parameters, rowptr, col, weight, eps)
        return y, statistics, []
    from mgic_geo.kernels.diff_cycle import cpu

    return cpu.diff_cycle_forward(x.contiguous(), by_grid(parameters), (rowptr, col, weight), eps)


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

    Called past the dispatcher, which copies lists, it empties ``kept``.
    """
    _check(x, parameters, rowptr_t, col_t, weight_t)
    check_shape("grad", grad, list(x.shape))
    if not has_diff_cycle(x, parameters):
        raise ValueError("there are no loops for these grids: take plain torch")
    for name, given, wanted in zip(
        ("statistics", "kept"), (statistics, kept), _saved(x, parameters)
    ):
        if [tuple(t.shape) for t in given] != wanted:
            raise ValueError(f"{name} are not those of the forward pass")
        check_alike(x, **{f"{name}_{i}": t for i, t in enumerate(given)})
    check_alike(x, grad=grad)
    from mgic_geo.kernels.diff_cycle import cpu

    return cpu.diff_cycle_backward(
        grad.contiguous(), x.contiguous(), by_grid(parameters), (rowptr_t, col_t, weight_t),
        statistics, kept, eps,
    )  # fmt: skip


def _saved(x: Tensor, parameters: Sequence[Tensor]) -> tuple[list[Shape], list[Shape]]:
    """Shapes of the statistics and of what is kept."""
    grids = by_grid(parameters)
    statistics: list[Shape] = []
    kept: list[Shape] = []
    for j in range(len(grids) - 1, -1, -1):
        width = grids[j][1].numel()
        if j < len(grids) - 1:
            groups, size = grids[j][4].size(0), grids[j][4].size(2)
            statistics += [(width,), (width,)]
            kept += [(groups * size,), (groups, size, size), (x.size(0), width)]
        statistics += [(width,), (width,)]
        kept.append((x.size(0), width))
    return statistics, kept


@diff_cycle.register_fake
def _(x: Tensor, parameters: list[Tensor], *_: Any) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    statistics, kept = ([x.new_empty(s) for s in shapes] for shapes in _saved(x, parameters))
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    return y, statistics, kept if has_diff_cycle(x, parameters) else []


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
    if not kept or runs_plain([grad]):
        of_x, *of_parameters = _gradients(grad, [x, *parameters], ctx.graph, ctx.eps)
    elif is_readable(grad) and not torch.is_grad_enabled():
        # Straight to the kernels: an operator's call holds all of its arguments until its end.
        ctx.maybe_clear_saved_tensors()  # unless the graph is retained
        of_x, *of_parameters = diff_cycle_backward.function(*args)
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
