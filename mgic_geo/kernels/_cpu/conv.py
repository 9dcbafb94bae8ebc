"""Single image operators as plans of their own, made once for each shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mgic_geo.kernels._cpu.plan import Plan
from mgic_geo.kernels._cpu.program import ProgramBuilder

# By all that a plan depends on: networks make the same calls again and again.
_plans: dict[tuple[Any, ...], Plan] = {}
_MOST_PLANS = 1024


def grouped_conv_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    out: int,
    stride: int = 1,
    dilation: int = 1,
    act: str = "none",
) -> Tensor:
    """The convolution of an image in ``channels_last``, with its epilogue.

    Args:
        x: ``[B, C, H, W]``, channels last.
        weight: ``[groups, taps, in, out]``, the last axis filled up to whole registers.
        bias: ``[groups, out]``, filled up likewise.
        residual: Added ahead of the activation.
        out: Outputs of a group.
        stride: Stride.
        dilation: Distance of the taps.
        act: ``"none"``, ``"relu"``, ``"relu6"`` or ``"hardswish"``.
    """
    return _conv("grouped_conv", x, weight, bias, residual, out, stride, dilation, act)


def depthwise_conv_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    out: int,
    stride: int = 1,
    dilation: int = 1,
    act: str = "none",
) -> Tensor:
    """:func:`grouped_conv_forward` with filters of their own for each channel.

    Args:
        x: ``[B, C, H, W]``, channels last.
        weight: ``[taps, out * C]``, neighbouring ones for one channel of ``x``, the last axis
            filled up to whole registers.
        bias: ``[out * C]``, filled up likewise.
        residual: Added ahead of the activation.
        out: Outputs of a channel, one of ``MULTIPLIERS``.
        stride: Stride.
        dilation: Distance of the taps.
        act: As there.
    """
    return _conv("depthwise_conv", x, weight, bias, residual, out, stride, dilation, act)


def squeeze_excite_forward(
    x: Tensor, reduce: Tensor, reduce_bias: Tensor, expand: Tensor, expand_bias: Tensor
) -> Tensor:
    """``x`` times the hard sigmoid of two maps of its means, with a ReLU between.

    Args:
        x: ``[B, C, H, W]``, channels last.
        reduce: ``[groups, C / groups, squeezed / groups]``.
        reduce_bias: ``[groups, squeezed / groups]``.
        expand: ``[groups, squeezed / groups, C / groups]``.
        expand_bias: ``[groups, C / groups]``.
    """
    maps = [reduce, reduce_bias, expand, expand_bias]

    def make(builder: ProgramBuilder) -> Plan:
        return builder.build(builder.squeeze_excite(builder.input, maps))

    return _run(("squeeze_excite", reduce.shape), make, x, maps, None)


def _conv(
    kind: str, x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, *rest: Any
) -> Tensor:
    def make(builder: ProgramBuilder) -> Plan:
        more = None if residual is None else builder.second_input(residual.shape)
        return builder.build(getattr(builder, kind)(builder.input, weight, bias, more, *rest))

    key = (kind, weight.shape, bias is None, residual is None, *rest)
    return _run(key, make, x, [weight] if bias is None else [weight, bias], residual)


def _run(
    key: tuple[Any, ...],
    make: Callable[[ProgramBuilder], Plan],
    x: Tensor,
    arguments: list[Tensor],
    second: Tensor | None,
) -> Tensor:
    threads = torch.get_num_threads()
    key = (*key, x.shape, x.dtype, threads)
    if second is not None:
        if second.dtype != x.dtype:
            raise ValueError(f"a residual of {second.dtype} for an image of {x.dtype}")
        key = (*key, second.shape)
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) >= _MOST_PLANS:
            _plans.pop(next(iter(_plans)), None)  # the oldest
        plan = _plans[key] = make(ProgramBuilder(x.shape, x.dtype, threads))
    arguments = [tensor.contiguous() for tensor in arguments]
    x = x.contiguous(memory_format=torch.channels_last)
    if second is not None:
        second = second.contiguous(memory_format=torch.channels_last)
    return plan.run(plan.bind(arguments), x, second)
