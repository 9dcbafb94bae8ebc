"""Batch norm, ReLU and a residual in two visits to memory forward and two backward."""

# mypy: disable-error-code="no-untyped-def, call-arg, unreachable"

from __future__ import annotations

import functools

import numba
import torch
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from mgic_geo.kernels._cpu.pool import parts_for, run_parts
from mgic_geo.kernels._cpu.vector import Emitter
from mgic_geo.kernels._dispatch import arrays

# Rows whose sums are taken in the tensor's own type; the sums of sums are double.
_ROWS = 256


@intrinsic(prefer_literal=True)
def _sum_rows(typing, y, grad, scale, offset, center, start, stop, out, relu, backward):
    """out[0] = sum of v, out[1] = sum of v (y - center); forward v = y - center, backward the
    gradient where ``scale y + offset`` is positive."""
    cut, back = relu.literal_value, backward.literal_value

    def generate(context, builder, signature, args):
        o = Emitter(context, builder, y)
        ys, grads, scales, offsets, centers = o.pointers(signature.args[:5], args[:5])
        (target,) = o.pointers([out], [args[7]])
        stride = o.columns(y, args[0])
        with o.loop(builder.udiv(stride, o.constant(o.lanes))) as (v, _):
            channel = o.mul(v, o.lanes)
            middle = o.load(centers, channel)
            total, product = o.variables(2)
            if back:
                a, b = o.load(scales, channel), o.load(offsets, channel)
            with o.loop(args[6], args[5]) as (row, _):
                at = o.add(o.mul(row, stride), channel)
                value = o.load(ys, at)
                distance = builder.fsub(value, middle)
                term = distance
                if back:
                    term = _through(o, o.load(grads, at), value, a, b, cut)
                builder.store(builder.fadd(builder.load(total), term), total)
                o.accumulate(term, distance, product)
            o.store(builder.load(total), target, channel)
            o.store(builder.load(product), target, o.add(channel, stride))
        return context.get_dummy_value()

    return types.void(
        y, grad, scale, offset, center, start, stop, out, relu, backward
    ), generate  # fmt: skip


@intrinsic(prefer_literal=True)
def _apply_rows(typing, y, other, scale, offset, slope, start, stop, out, relu, backward, residual):
    """out = ReLU(scale y + offset) + other; backward scale g + slope[0] y + slope[1], with g the
    gradient ``other`` where ``scale y + offset`` is positive."""
    cut, back, add = (v.literal_value for v in (relu, backward, residual))

    def generate(context, builder, signature, args):
        o = Emitter(context, builder, y)
        ys, others, scales, offsets, slopes = o.pointers(signature.args[:5], args[:5])
        (target,) = o.pointers([out], [args[7]])
        stride = o.columns(y, args[0])
        with o.loop(args[6], args[5]) as (row, _):
            base = o.mul(row, stride)
            with o.loop(builder.udiv(stride, o.constant(o.lanes))) as (v, _):
                channel = o.mul(v, o.lanes)
                at = o.add(base, channel)
                value, a, b = o.load(ys, at), o.load(scales, channel), o.load(offsets, channel)
                if back:
                    g = _through(o, o.load(others, at), value, a, b, cut)
                    k1, k0 = o.load(slopes, channel), o.load(slopes, o.add(channel, stride))
                    result = o.fma(a, g, o.fma(k1, value, k0))
                else:
                    result = o.fma(a, value, b)
                    if cut:
                        result = o.relu(result)
                    if add:
                        result = builder.fadd(result, o.load(others, at))
                o.store(result, target, at)
        return context.get_dummy_value()

    return types.void(
        y, other, scale, offset, slope, start, stop, out, relu, backward, residual
    ), generate  # fmt: skip


def _through(o, grad, value, a, b, cut):
    """The gradient behind the ReLU, which is 0 where its input was not positive."""
    if not cut:
        return grad
    passed = o.builder.fcmp_unordered(">", o.fma(a, value, b), o.zero)
    return o.builder.select(passed, grad, o.zero)


@functools.cache
def _sum_kernel(relu, backward):
    rows = _ROWS

    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, y, grad, scale, offset, center, out):
        blocks = out.shape[0]
        for k in range(part * blocks // parts, (part + 1) * blocks // parts):
            stop = min((k + 1) * rows, y.shape[0])
            _sum_rows(
                y, grad, scale, offset, center, k * rows, stop, out[k], relu, backward
            )  # fmt: skip

    return kernel


@functools.cache
def _apply_kernel(relu, backward, residual):
    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, y, other, scale, offset, slope, out):
        n = y.shape[0]
        start, stop = part * n // parts, (part + 1) * n // parts
        _apply_rows(
            y, other, scale, offset, slope, start, stop, out, relu, backward, residual
        )  # fmt: skip

    return kernel


def _sums(y: Tensor, center: Tensor, *rest: Tensor, relu: bool = False) -> Tensor:
    """``[2, C]`` in double precision."""
    grad, scale, offset = rest or (y, center, center)
    out = y.new_empty(-(-y.size(0) // _ROWS), 2, y.size(1))
    kernel = _sum_kernel(int(relu), int(bool(rest)))
    run_parts(kernel, parts_for(y.numel()), *arrays(y, grad, scale, offset, center, out))
    return out.sum(0, dtype=torch.float64)


def norm_act_forward(
    y: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, relu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """``ReLU(norm(y)) + residual``, the mean and the variance of the batch."""
    n = y.size(0)
    center = y[:: max(n // 16, 1)].mean(0)  # near the mean, so that the variance loses no digits
    total, square = _sums(y, center) / n
    mean = (center + total).to(y.dtype)
    var = (square - total.square()).clamp_min(0.0).to(y.dtype)
    scale = weight * (var + eps).rsqrt()
    out = torch.empty_like(y)
    kernel = _apply_kernel(int(relu), 0, int(residual is not None))
    other = y if residual is None else residual
    args = arrays(y, other, scale, bias - mean * scale, scale, out)
    run_parts(kernel, parts_for(y.numel()), *args)
    return out, mean, var


def norm_act_backward(
    grad: Tensor, y: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor,
    eps: float, relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of y, weight and bias."""
    n = y.size(0)
    inverse = (var + eps).rsqrt()
    scale = weight * inverse
    offset = bias - mean * scale
    total, product = _sums(y, mean, grad, scale, offset, relu=relu)
    grad_weight = product * inverse
    slope = -scale * inverse * grad_weight / n
    slopes = torch.stack([slope, -scale * total / n - slope * mean])
    out = torch.empty_like(y)
    args = arrays(y, grad, scale, offset, slopes, out)
    run_parts(_apply_kernel(int(relu), 1, 0), parts_for(y.numel()), *args)
    return out, grad_weight.to(y.dtype), total.to(y.dtype)
