"""Grouped pointwise maps and the moments of groups of channels, tile by tile on all threads."""

# mypy: disable-error-code="no-untyped-def, call-arg, unreachable"

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels.cpu.memory import arrays
from mgic_geo.kernels.cpu.threads import PARTS, parts_for, run_parts
from mgic_geo.kernels.cpu.tiles import (
    BIAS,
    BLOCKS,
    RESIDUAL,
    copy_tile,
    mix_tile,
    outer_tile,
)
from mgic_geo.kernels.cpu.vector import lanes_of

_CHANNELS = 64


class Plan(NamedTuple):
    """Constants of a tile.

    Args:
        groups: Groups of a tile.
        size: Input channels of a group.
        out: Output channels of a group.
    """

    groups: int
    size: int
    out: int

    def pack(self, itemsize: int) -> int:
        """Nodes side by side in a register of outputs."""
        return max(lanes_of(itemsize) // self.out, 1)


@functools.cache
def pointwise_plan(groups: int, size: int, out: int, itemsize: int) -> Plan:
    """How many groups make a tile."""
    lanes = lanes_of(itemsize)
    tile = max(lanes // math.gcd(size, lanes), lanes // math.gcd(out, lanes))
    while groups % (2 * tile) == 0 and 2 * tile * max(size, out) <= _CHANNELS:
        tile *= 2
    return Plan(tile, size, out)


@functools.cache
def _forward_kernel(groups, size, out, pack, epilogue):
    nodes = BLOCKS * pack
    chunk, chunk_out = groups * size, groups * out

    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, x, mix, bias, residual, y):
        tiles = (x.shape[0] + nodes - 1) // nodes
        tasks = tiles * (x.shape[1] // chunk)
        scratch = np.empty(nodes * chunk, x.dtype)
        for k in range(part * tasks // parts, (part + 1) * tasks // parts):
            c, first = k // tiles, k % tiles * nodes
            count = min(nodes, x.shape[0] - first)
            copy_tile(x, bias, first, count, c * chunk, scratch, pack, chunk, 0)
            mix_tile(
                scratch, mix, bias, residual, y, c * groups, first, count, c * chunk_out,
                pack, 1, chunk, chunk_out, size, out, epilogue,
            )  # fmt: skip

    return kernel


@functools.cache
def _pair_kernel(groups, size, other_size, out, pack):
    """The sum of two maps, tile by tile: the first one's result is still in the cache."""
    nodes = BLOCKS * pack
    chunk, chunk_other, chunk_out = groups * size, groups * other_size, groups * out

    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, x, mix, bias, other, mix_other, y):
        tiles = (x.shape[0] + nodes - 1) // nodes
        tasks = tiles * (x.shape[1] // chunk)
        scratch = np.empty(nodes * max(chunk, chunk_other), x.dtype)
        for k in range(part * tasks // parts, (part + 1) * tasks // parts):
            c, first = k // tiles, k % tiles * nodes
            count = min(nodes, x.shape[0] - first)
            copy_tile(x, bias, first, count, c * chunk, scratch, pack, chunk, 0)
            mix_tile(
                scratch, mix, bias, y, y, c * groups, first, count, c * chunk_out,
                pack, 1, chunk, chunk_out, size, out, BIAS,
            )  # fmt: skip
            copy_tile(other, bias, first, count, c * chunk_other, scratch, pack, chunk_other, 0)
            mix_tile(
                scratch, mix_other, bias, y, y, c * groups, first, count, c * chunk_out,
                pack, 1, chunk_other, chunk_out, other_size, out, RESIDUAL,
            )  # fmt: skip

    return kernel


@functools.cache
def _sums_kernel(groups, size, out, pack, shifted):
    """Sums of products ``x[c] other[o]`` and of ``other[o]``."""
    nodes = BLOCKS * pack
    chunk, chunk_out = groups * size, groups * out

    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, x, other, shift, sums):
        tiles = (x.shape[0] + nodes - 1) // nodes
        tasks = tiles * (x.shape[1] // chunk)
        own = np.empty(nodes * chunk, x.dtype)
        scratch = np.empty(nodes * chunk_out, x.dtype)
        for k in range(part * tasks // parts, (part + 1) * tasks // parts):
            c, first = k // tiles, k % tiles * nodes
            count = min(nodes, x.shape[0] - first)
            copy_tile(x, shift, first, count, c * chunk, own, pack, chunk, shifted)
            copy_tile(
                other, shift, first, count, c * chunk_out, scratch, pack, chunk_out, shifted
            )  # fmt: skip
            outer_tile(
                scratch, own, c * groups, count, sums[part],
                pack, 1, chunk_out, chunk, out, size,
            )  # fmt: skip

    return kernel


def pointwise_forward(
    plan: Plan, x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """``weight [G, in, out]`` applied to the groups of ``x``, + bias, + residual.

    ``out``, where the result goes, may be ``residual``.
    """
    pack = plan.pack(x.element_size())
    packed = weight if pack == 1 else weight.repeat_interleave(pack, -1)
    return packed_forward(plan, x, packed, bias, residual, out)


def packed_forward(
    plan: Plan, x: Tensor, packed: Tensor, bias: Tensor | None, residual: Tensor | None,
    out: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """:func:`pointwise_forward` with each weight repeated for the nodes side by side."""
    pack = plan.pack(x.element_size())
    y = x.new_empty(x.size(0), x.size(1) // plan.size * plan.out) if out is None else out
    epilogue = BIAS * (bias is not None) + RESIDUAL * (residual is not None)
    args = arrays(
        x,
        packed,
        x.new_empty(1) if bias is None else bias,
        y if residual is None else residual,
        y,
    )
    run_parts(_forward_kernel(*plan, pack, epilogue), parts_for(x.numel(), PARTS), *args)
    return y


def packed_pair(
    plan: Plan, x: Tensor, packed: Tensor, bias: Tensor, other: Tensor, packed_other: Tensor
) -> Tensor:
    """The sum of the map of ``x``, + bias, and that of ``other``; the plan is that of ``x``."""
    pack, groups = plan.pack(x.element_size()), x.size(1) // plan.size
    y = x.new_empty(x.size(0), groups * plan.out)
    kernel = _pair_kernel(plan.groups, plan.size, other.size(1) // groups, plan.out, pack)
    args = arrays(x, packed, bias, other, packed_other, y)
    run_parts(kernel, parts_for(x.numel(), PARTS), *args)
    return y


def pointwise_backward(plan: Plan, grad: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the weight ``[G, in, out]`` and of the bias."""
    sums = torch.from_numpy(
        add_up(group_sums(plan, x, grad, None), plan.pack(x.element_size()))
    ).to(x.dtype)
    return sums[:, :-1], sums[:, -1].flatten()


def group_sums(plan: Plan, x: Tensor, other: Tensor, shift: Tensor | None) -> Any:
    """Sums of ``x[c] other[o]`` and, in the last row, of ``other[o]``; both less ``shift``.

    A part of the nodes each, ``[parts, G, 1, in + 1, out * pack]``.
    """
    pack = plan.pack(x.element_size())
    parts, groups = parts_for(x.numel()), x.size(1) // plan.size
    sums = x.new_zeros(parts, groups, 1, plan.size + 1, plan.out * pack)
    args = arrays(x, other, x.new_empty(1) if shift is None else shift, sums)
    run_parts(_sums_kernel(*plan, pack, int(shift is not None)), parts, *args)
    return args[-1]


@numba.njit(cache=True)
def add_up(sums, pack):
    """The sums of all parts and nodes, ``[G, in + 1, out]``, in double precision."""
    parts, groups, _, rows, columns = sums.shape
    total = np.zeros((groups, rows, columns // pack), np.float64)
    for p in range(parts):
        for g in range(groups):
            for c in range(rows):
                for o in range(columns):
                    total[g, c, o // pack] += sums[p, g, 0, c, o]
    return total
