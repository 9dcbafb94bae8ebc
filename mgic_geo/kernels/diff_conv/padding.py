"""Groups that do not fill a register, filled up with zeros for the tiles of the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels.diff_conv.cpu import Plan, diff_conv_backward, diff_conv_forward

Graph = tuple[Tensor, Tensor, Tensor]


def padded_forward(
    plan: Plan,
    x: Tensor,
    mix: Tensor,
    graph: Graph,
    bias: Tensor | None,
    relu: bool,
    residual: Tensor | None,
) -> Tensor:
    """:func:`~mgic_geo.kernels.diff_conv.cpu.diff_conv_forward` of groups of any size."""
    groups, _, _, out = mix.shape
    done = diff_conv_forward(
        plan, *_padded(plan, x, mix), *graph, _pad_columns(plan, groups, bias), relu,
        _pad_columns(plan, groups, residual),
    )  # fmt: skip
    return _trimmed(done, groups, out, plan.size)


def padded_backward(
    plan: Plan,
    grad: Tensor,
    x: Tensor,
    mix: Tensor,
    transposed: Graph,
    into_x: bool,
    into_mix: bool,
) -> tuple[Tensor, Tensor]:
    """:func:`~mgic_geo.kernels.diff_conv.cpu.diff_conv_backward` likewise; empty if not asked."""
    groups, _, size, out = mix.shape
    wide_grad = _pad_columns(plan, groups, grad)
    assert wide_grad is not None
    of_x, of_mix = diff_conv_backward(
        plan, wide_grad, *_padded(plan, x, mix), *transposed, into_x, into_mix
    )
    none = x.new_empty(0)
    return (
        none if of_x is None else _trimmed(of_x, groups, size, plan.size),
        none if of_mix is None else of_mix[:groups, :, :size, :out].contiguous(),
    )


def _padded(plan: Plan, x: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
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


def _pad_columns(plan: Plan, groups: int, x: Tensor | None) -> Tensor | None:
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
    return y.unflatten(-1, (-1, wide))[:, :groups, :size].flatten(1).contiguous()
