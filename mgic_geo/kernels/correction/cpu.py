"""Batch norm after a grouped map, folded into the map; forward and backward."""

# mypy: disable-error-code="no-untyped-def, call-arg"

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels.cpu.memory import arrays
from mgic_geo.kernels.pointwise.cpu import (
    add_up,
    group_sums,
    packed_forward,
    packed_pair,
    pointwise_plan,
)


@numba.njit(cache=True)
def _fold(sums, near, weight, scale, shift, eps, rows, pack):
    """Statistics of the map, and map and shift with the norm folded in."""
    groups, out, size = weight.shape
    mean, var = np.empty_like(scale), np.empty_like(scale)
    center, spread = np.empty_like(near), np.empty((groups, size, size), weight.dtype)
    folded = np.empty((groups, 1, size, out * pack), weight.dtype)
    bias = np.empty_like(scale)
    for g in range(groups):
        moved = sums[g, size] / rows
        for a in range(size):
            center[g * size + a] = near[g * size + a] + moved[a]
            for b in range(size):
                spread[g, a, b] = sums[g, a, b] / rows - moved[a] * moved[b]
        for o in range(out):
            m, v = 0.0, 0.0
            for a in range(size):
                m += weight[g, o, a] * center[g * size + a]
                for b in range(size):
                    v += weight[g, o, a] * spread[g, a, b] * weight[g, o, b]
            q = g * out + o
            v = max(v, 0.0)
            factor = scale[q] / np.sqrt(v + eps)
            mean[q], var[q], bias[q] = m, v, shift[q] - m * factor
            for a in range(size):
                for p in range(pack):
                    folded[g, 0, a, o * pack + p] = weight[g, o, a] * factor
    return mean, var, center, spread, folded, bias


@numba.njit(cache=True)
def _unfold(sums, weight, scale, mean, var, center, spread, eps, rows, pack):
    """Gradients of the parameters, and the two maps whose sum is the gradient of delta."""
    groups, out, size = weight.shape
    of_weight, of_scale = np.empty_like(weight), np.empty_like(scale)
    of_shift, bias = np.empty_like(scale), np.zeros_like(center)
    of_grad = np.empty((groups, 1, out, size * pack), weight.dtype)
    of_delta = np.zeros((groups, 1, size, size * pack), weight.dtype)
    for g in range(groups):
        for o in range(out):
            q = g * out + o
            inverse = 1.0 / np.sqrt(var[q] + eps)
            of_shift[q] = sums[g, size, o]
            product = 0.0
            for a in range(size):
                product += weight[g, o, a] * sums[g, a, o]
            gamma = (product - mean[q] * sums[g, size, o]) * inverse
            of_scale[q] = gamma
            # the gradient of the map's result is a * grad - c * result + k
            a_, c_ = scale[q] * inverse, scale[q] * inverse * inverse * gamma / rows
            k_ = c_ * mean[q] - a_ * sums[g, size, o] / rows
            for a in range(size):
                w, along = weight[g, o, a], 0.0
                for b in range(size):
                    square = spread[g, b, a] + center[g * size + b] * center[g * size + a]
                    along += weight[g, o, b] * square
                total = a_ * sums[g, a, o] + rows * (k_ * center[g * size + a] - c_ * along)
                of_weight[g, o, a] = total
                bias[g * size + a] += w * k_
                for p in range(pack):
                    of_grad[g, 0, o, a * pack + p] = w * a_
                    for b in range(size):
                        of_delta[g, 0, b, a * pack + p] -= w * c_ * weight[g, o, b]
    return of_weight, of_scale, of_shift, of_grad, of_delta, bias


def correction_forward(
    fine: Tensor, delta: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The corrected features; mean and variance of the map; mean and covariance of delta."""
    groups, out, size = weight.shape
    rows, itemsize = delta.size(0), delta.element_size()
    # Near the mean, so that the covariance loses no digits.
    near = delta[:: max(rows // 16, 1)].mean(0)
    own = pointwise_plan(groups, size, size, itemsize)
    sums = add_up(group_sums(own, delta, delta, near), own.pack(itemsize))
    plan = pointwise_plan(groups, size, out, itemsize)
    parameters = arrays(near, weight, scale, shift)
    mean, var, center, spread, folded, bias = _tensors(
        _fold(sums, *parameters, eps, rows, plan.pack(itemsize))
    )
    return packed_forward(plan, delta, folded, bias, fine), mean, var, center, spread


def correction_backward(
    grad: Tensor, delta: Tensor, weight: Tensor, scale: Tensor, mean: Tensor, var: Tensor,
    center: Tensor, spread: Tensor, eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of delta, weight, scale and shift."""
    groups, out, size = weight.shape
    rows, itemsize = delta.size(0), delta.element_size()
    forward = pointwise_plan(groups, size, out, itemsize)
    sums = add_up(group_sums(forward, delta, grad, None), forward.pack(itemsize))
    back = pointwise_plan(groups, out, size, itemsize)
    parameters = arrays(weight, scale, mean, var, center, spread)
    of_weight, of_scale, of_shift, of_grad, of_delta, bias = _tensors(
        _unfold(sums, *parameters, eps, rows, back.pack(itemsize))
    )
    given = packed_pair(back, grad, of_grad, bias, delta, of_delta)
    return given, of_weight, of_scale, of_shift


def _tensors(made: tuple[Any, ...]) -> list[Tensor]:
    return [torch.from_numpy(array) for array in made]
