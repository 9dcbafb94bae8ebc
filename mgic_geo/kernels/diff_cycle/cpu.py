"""A V-cycle of DiffGCN relaxations: the kernels of its steps in turn, on one thread of Python.

On the coarser grids the change :math:`d_j = y_j - x_j` is written in place of :math:`y_j`, because
the correction of the next finer grid needs nothing else; backward, the gradients that meet at a
grid are added up where one of them is computed. Features and changes of the coarser grids are
computed once more backward, after the finest grid, where a training step needs most memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mgic_geo.kernels.correction.cpu import correction_backward, correction_forward
from mgic_geo.kernels.diff_conv.cpu import (
    Plan,
    diff_conv_backward,
    diff_conv_forward,
    diff_conv_plan,
)
from mgic_geo.kernels.norm_act.cpu import norm_act_again, norm_act_backward, norm_act_forward
from mgic_geo.kernels.pointwise.cpu import (
    pointwise_backward,
    pointwise_forward,
    pointwise_plan,
)

Grids = Sequence[Sequence[Tensor]]
Graph = tuple[Tensor, Tensor, Tensor]


def diff_cycle_forward(
    x: Tensor, grids: Grids, graph: Graph, eps: float
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The result, mean and variance of each norm from the coarsest grid on, and what is kept."""
    last = len(grids) - 1
    features = _features(x, grids)
    statistics: list[Tensor] = []
    kept: list[Tensor] = []
    y = x
    for j in range(last, -1, -1):
        mix, scale, shift = grids[j][:3]
        u = features[j]
        if j < last:
            _, up, *norm = grids[j][3:]
            u, mean, var, center, spread = correction_forward(u, y, up, norm[0], norm[1], eps)
            statistics += [mean, var]
            kept += [center, spread, u]
        z = diff_conv_forward(_plan(mix, x), u, mix, *graph)
        residual = u if j < last else None
        less = features[j] if 0 < j < last else None
        y, mean, var = norm_act_forward(z, scale, shift, residual, eps, True, less)
        statistics += [mean, var]
        kept.append(z)
    return y, statistics, kept


def diff_cycle_backward(
    grad: Tensor,
    x: Tensor,
    grids: Grids,
    graph: Graph,
    statistics: Sequence[Tensor],
    kept: list[Tensor],
    eps: float,
) -> list[Tensor]:
    """Gradients of the features, then of the parameters, grid by grid; empties ``kept``."""
    last = len(grids) - 1
    features, statistics = [x], list(statistics)
    given: list[list[Tensor]] = []
    into: list[Tensor] = []
    for j, (mix, scale, shift, *transfer) in enumerate(grids):
        # What is used for the last time is let go: a training step needs most memory here.
        var, mean = statistics.pop(), statistics.pop()
        of_z, *of_norm = norm_act_backward(grad, kept.pop(), scale, shift, mean, var, eps, True)
        u = kept.pop() if transfer else features[j]
        # The residual's gradient goes on to the correction; x_j has no part in it but at j = 0.
        residual = grad if transfer else None
        of_u, of_mix = diff_conv_backward(
            _plan(mix, x), of_z, u, mix, *graph, True, True, residual, share=j > 0
        )
        del of_z, u, residual
        assert of_u is not None
        assert of_mix is not None
        into.append(of_u)
        given.append([of_mix, *of_norm])
        if transfer:
            _, up, norm_scale, _ = transfer
            spread, center = kept.pop(), kept.pop()
            var, mean = statistics.pop(), statistics.pop()
            if j == 0:
                features = _features(x, grids)
            below = grids[j + 1]
            change = norm_act_again(
                kept[-1], below[1], below[2], statistics[-2], statistics[-1],
                kept[-2] if j + 1 < last else None, eps, True,
                features[j + 1] if j + 1 < last else None,
            )  # fmt: skip
            grad, *of_transfer = correction_backward(
                grad if j else of_u, change, up, norm_scale, mean, var, center, spread, eps
            )
            given[j] += of_transfer
    for j in range(last - 1, -1, -1):
        of_down = _restrict_backward(into[j + 1], features[j], grids[j][3], into[j])
        given[j].insert(3, of_down)
    return [into[0], *(t for grid in given for t in grid)]


def _features(x: Tensor, grids: Grids) -> list[Tensor]:
    """The input of every grid."""
    features = [x]
    for grid in grids[:-1]:
        features.append(_restrict(features[-1], grid[3]))
    return features


def _restrict(x: Tensor, weight: Tensor) -> Tensor:
    groups, out, size = weight.shape
    plan = pointwise_plan(groups, size, out, x.element_size())
    return pointwise_forward(plan, x, weight.transpose(1, 2), None, None)


def _restrict_backward(grad: Tensor, x: Tensor, weight: Tensor, total: Tensor) -> Tensor:
    """The gradient of the weight; that of ``x`` is added to ``total``."""
    groups, out, size = weight.shape
    back, plan = (
        pointwise_plan(groups, *sizes, x.element_size()) for sizes in ((out, size), (size, out))
    )
    pointwise_forward(back, grad, weight, None, total, out=total)
    return pointwise_backward(plan, grad, x)[0].transpose(1, 2).contiguous()


def _plan(mix: Tensor, x: Tensor) -> Plan:
    plan = diff_conv_plan(mix.size(0), mix.size(2), mix.size(3), x.dtype)
    assert plan is not None
    return plan
