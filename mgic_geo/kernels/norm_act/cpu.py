"""Batch norm, ReLU and a residual in two visits to memory forward and two backward."""

# mypy: disable-error-code="no-untyped-def, call-arg, unreachable"

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
import torch
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from mgic_geo.kernels.cpu.memory import arrays
from mgic_geo.kernels.cpu.threads import parts_for, run_parts
from mgic_geo.kernels.cpu.vector import Emitter

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
    """out = ReLU(scale y + offset), + other if ``residual``, - slope if that is 2; backward
    scale g + slope[0] y + slope[1], with g the gradient ``other`` where scale y + offset > 0."""
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
                    if add == 2:
                        result = builder.fsub(result, o.load(slopes, at))
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


@numba.njit(cache=True)
def _statistics(sums, center, weight, bias, eps, rows):
    """Mean and variance from sums of blocks, and the norm as a scale and a shift."""
    mean, var = np.empty_like(center), np.empty_like(center)
    scale, shift = np.empty_like(center), np.empty_like(center)
    for c in range(len(center)):
        total, square = 0.0, 0.0
        for k in range(sums.shape[0]):
            total += sums[k, 0, c]
            square += sums[k, 1, c]
        moved = total / rows
        v = square / rows - moved * moved
        v = 0.0 if v < 0.0 else v  # NaN stays NaN
        mean[c], var[c] = center[c] + moved, v
        scale[c] = weight[c] / np.sqrt(v + eps)
        shift[c] = bias[c] - mean[c] * scale[c]
    return mean, var, scale, shift


@numba.njit(cache=True)
def _slopes(sums, scale, mean, inverse, rows):
    """Gradients of weight and bias, and slope and height of what each number gets back."""
    of_weight, of_bias = np.empty_like(scale), np.empty_like(scale)
    slopes = np.empty((2, len(scale)), scale.dtype)
    for c in range(len(scale)):
        total, product = 0.0, 0.0
        for k in range(sums.shape[0]):
            total += sums[k, 0, c]
            product += sums[k, 1, c]
        of_weight[c], of_bias[c] = product * inverse[c], total
        slope = -scale[c] * inverse[c] * inverse[c] * product / rows
        slopes[0, c], slopes[1, c] = slope, -scale[c] * total / rows - slope * mean[c]
    return of_weight, of_bias, slopes


def _block_sums(kernel, *args):
    """Sums of blocks of rows, ``[blocks, 2, C]``."""
    y = args[0]
    out = np.empty((-(-y.shape[0] // _ROWS), 2, y.shape[1]), y.dtype)
    run_parts(kernel, parts_for(y.size), *args, out)
    return out


def norm_act_forward(
    y: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, eps: float, relu: bool,
    less: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """``ReLU(norm(y)) + residual - less``, the mean and the variance of the batch.

    ``less`` only together with ``residual``.
    """
    rows = y.size(0)
    near = y[:: max(rows // 16, 1)].mean(0)  # so that the variance loses no digits
    ys, center, weights, biases = arrays(y, near, weight, bias)
    sums = _block_sums(_sum_kernel(0, 0), ys, ys, center, center, center)
    mean, var, scale, shift = _statistics(sums, center, weights, biases, eps, rows)
    out = _apply(y, scale, shift, residual, less, relu)
    return out, torch.from_numpy(mean), torch.from_numpy(var)


def norm_act_again(
    y: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, residual: Tensor | None,
    eps: float, relu: bool, less: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The result of :func:`norm_act_forward` once more, from its mean and variance."""
    _, scale, shift = _as_map(*arrays(weight, bias, mean, var), eps)
    return _apply(y, scale, shift, residual, less, relu)


def _apply(
    y: Tensor, scale: Any, shift: Any, residual: Tensor | None, less: Tensor | None, relu: bool
) -> Tensor:
    out = torch.empty_like(y, memory_format=torch.contiguous_format)
    kernel = _apply_kernel(int(relu), 0, (residual is not None) + (less is not None))
    ys, more, fewer, target = arrays(
        y, y if residual is None else residual, y if less is None else less, out
    )
    run_parts(kernel, parts_for(y.numel()), ys, more, scale, shift, fewer, target)
    return out


def _as_map(weight: Any, bias: Any, mean: Any, var: Any, eps: float) -> tuple[Any, Any, Any]:
    """One over the deviation, and the norm as a scale and a shift."""
    inverse = 1 / np.sqrt(var + eps, dtype=var.dtype)
    return inverse, weight * inverse, bias - mean * weight * inverse


def norm_act_backward(
    grad: Tensor, y: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor,
    eps: float, relu: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of y, weight and bias."""
    out = torch.empty_like(y, memory_format=torch.contiguous_format)
    ys, grads, weights, biases, means, vars_, target = arrays(y, grad, weight, bias, mean, var, out)
    inverse, scale, shift = _as_map(weights, biases, means, vars_, eps)
    sums = _block_sums(_sum_kernel(int(relu), 1), ys, grads, scale, shift, means)
    of_weight, of_bias, slopes = _slopes(sums, scale, means, inverse, y.size(0))
    kernel = _apply_kernel(int(relu), 1, 0)
    run_parts(kernel, parts_for(y.numel()), ys, grads, scale, shift, slopes, target)
    return out, torch.from_numpy(of_weight), torch.from_numpy(of_bias)
