"""Derivatives and their mixing: a tile of nodes and channels after the other, on all threads."""

# mypy: disable-error-code="no-untyped-def, call-arg, unreachable"

from __future__ import annotations

import functools
from typing import NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels.cpu.memory import arrays
from mgic_geo.kernels.cpu.threads import PARTS, parts_for, run_parts
from mgic_geo.kernels.cpu.tiles import (
    BIAS,
    BLOCKS,
    DERIVATIVES,
    RELU,
    RESIDUAL,
    SHARE,
    copy_tile,
    derive_tile,
    mix_tile,
    outer_tile,
)
from mgic_geo.kernels.cpu.vector import lanes_of
from mgic_geo.kernels.diff_conv.products import LARGEST_GROUP

_TERMS = 1 + DERIVATIVES
# Groups that do not fill a register are filled up with zeros, unless that is this much more work.
_LARGEST_FILLING = 4
# Nodes of a task: a small cloud.
_BLOCK = 1024
# Bytes of a row from which on chunks of it are copied together, and bytes of cache for them.
_WIDE_ROW = 1024
_CACHE = 2**19
# Visits to a number: its node's neighbours.
_WORK = 10


class Plan(NamedTuple):
    """Constants of a tile.

    Args:
        groups: Groups, with those that only fill up the last register.
        pack: Nodes side by side in a register.
        chunk: Channels of a tile.
        size: Group size, filled up.
    """

    groups: int
    pack: int
    chunk: int
    size: int


@functools.cache
def diff_conv_plan(
    groups: int, size: int, out: int, dtype: torch.dtype, derivatives: int = DERIVATIVES
) -> Plan | None:
    """How groups fill registers, with zeros if need be; None where a matrix product is better."""
    if derivatives != DERIVATIVES:
        return None
    lanes = lanes_of(dtype.itemsize)
    wide = max(size, out)
    wide = 1 << (wide - 1).bit_length() if wide < lanes else -(-wide // lanes) * lanes
    if wide > LARGEST_GROUP or wide * wide > _LARGEST_FILLING * size * out:
        return None
    pack = max(lanes // wide, 1)
    groups = -(-groups // pack) * pack
    channels = groups * wide
    widths = (v * lanes for v in (4, 2, 1) if v * pack <= 4 and v * lanes >= wide)
    chunk = next((w for w in widths if channels % w == 0 and w % wide == 0), max(wide, lanes))
    return Plan(groups, pack, chunk, wide)


@numba.njit(cache=True, nogil=True)
def _windows(rowptr, col, most):
    """For each block of nodes the range of nodes that it reads; empty if that is over ``most``."""
    nodes = rowptr.shape[0] - 1
    found = np.zeros((max((nodes + _BLOCK - 1) // _BLOCK, 1), 2), np.int32)
    for b in range(found.shape[0]):
        low, high = b * _BLOCK, min((b + 1) * _BLOCK, nodes)
        if high - low > most:
            continue
        for e in range(rowptr[low], rowptr[high]):
            low, high = min(low, col[e]), max(high, col[e] + 1)
        # whole blocks, so that the blocks of a cloud read the same window
        low, high = low // _BLOCK * _BLOCK, min(-(-high // _BLOCK) * _BLOCK, nodes)
        if high - low <= most:
            found[b] = low, high
    return found


@functools.cache
def _kernel(pack, chunk, size, mixes, sums_up, epilogue):
    """Forward mixes; backward mixes with the transposed weights, sums products up, or both."""
    nodes = BLOCKS * pack
    length, groups, terms = nodes * _TERMS * chunk, chunk // size, _TERMS

    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, x, own, mix, rowptr, col, weight, windows, bias, residual, y, sums):
        blocks = windows.shape[0]
        tasks = blocks * (x.shape[1] // chunk)
        scratch = np.empty(length, x.dtype)
        beside = np.empty(nodes * chunk, x.dtype)
        copied = np.empty(((windows[:, 1] - windows[:, 0]).max(), chunk), x.dtype)
        held = (-1, np.int64(0), np.int64(0))
        for k in range(part * tasks // parts, (part + 1) * tasks // parts):
            c, b = k // blocks, k % blocks
            low, high = np.int64(windows[b, 0]), np.int64(windows[b, 1])
            source, channel = x, c * chunk
            if high > low:
                if (c, low, high) != held:
                    copy_tile(x, x, low, high - low, channel, copied, 1, chunk, 0)
                    held = (c, low, high)
                source, channel = copied, 0
            stop = min((b + 1) * _BLOCK, x.shape[0])
            for first in range(b * _BLOCK, stop, nodes):
                count = min(nodes, stop - first)
                derive_tile(
                    source, rowptr, col, weight, first, count, low, channel, scratch, pack, chunk
                )  # fmt: skip
                if mixes:
                    mix_tile(
                        scratch, mix, bias, residual, y, c * groups, first, count, c * chunk,
                        pack, terms, chunk, chunk, size, size, epilogue,
                    )  # fmt: skip
                if sums_up:
                    copy_tile(own, own, first, count, c * chunk, beside, pack, chunk, 0)
                    outer_tile(
                        scratch, beside, c * groups, count, sums[part],
                        pack, terms, chunk, chunk, size, size,
                    )  # fmt: skip

    return kernel


def _read_windows(plan: Plan, x: Tensor, rowptr: Tensor, col: Tensor) -> Tensor:
    """Windows for wide rows: at a stride of a power of two they would share few cache lines."""
    room = _CACHE // (plan.chunk * x.element_size())
    wide = x.size(1) * x.element_size() >= _WIDE_ROW and x.size(1) > plan.chunk
    return torch.from_numpy(_windows(rowptr.numpy(), col.numpy(), room if wide else -1))


def diff_conv_forward(
    plan: Plan,
    x: Tensor,
    mix: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    relu: bool = False,
    residual: Tensor | None = None,
) -> Tensor:
    """y = the mixed features and derivatives; then, where asked, + bias, ReLU, + residual."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    epilogue = BIAS * (bias is not None) + RELU * relu + RESIDUAL * (residual is not None)
    args = arrays(
        x, x, _packed(plan, mix), rowptr, col, weight, _read_windows(plan, x, rowptr, col),
        x if bias is None else bias, x if residual is None else residual, y, x.new_empty([1] * 5),
    )  # fmt: skip
    parts = parts_for(_WORK * x.numel(), PARTS)
    run_parts(_kernel(*plan[1:], 1, 0, epilogue), parts, *args)
    return y


def diff_conv_backward(
    plan: Plan,
    grad: Tensor,
    x: Tensor,
    mix: Tensor,
    rowptr: Tensor,
    col: Tensor,
    weight: Tensor,
    into_x: bool = True,
    into_mix: bool = True,
    residual: Tensor | None = None,
    share: bool = False,
) -> tuple[Tensor | None, Tensor | None]:
    """Both gradients from one visit to the neighbours in the transposed graph.

    ``residual`` is added to that of x, or that of x to ``residual``, in place, if ``share``.
    """
    parts = parts_for(_WORK * x.numel())
    groups, size = mix.size(0), plan.size
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format) if into_x else x
    sums = x.new_zeros((parts, groups, _TERMS, size, size * plan.pack) if into_mix else [1] * 5)
    epilogue = 0 if residual is None else SHARE if share else RESIDUAL
    args = arrays(
        grad, x, _packed(plan, mix.transpose(2, 3)), rowptr, col, weight,
        _read_windows(plan, x, rowptr, col), x, x if residual is None else residual, grad_x, sums,
    )  # fmt: skip
    run_parts(_kernel(*plan[1:], int(into_x), int(into_mix), epilogue), parts, *args)
    if not into_mix:
        return grad_x, None
    total = sums.sum(0) if parts > 1 else sums[0]
    if plan.pack > 1:
        total = total.unflatten(-1, (size, plan.pack)).sum(-1)
    return grad_x if into_x else None, total


def _packed(plan: Plan, mix: Tensor) -> Tensor:
    return mix if plan.pack == 1 else mix.repeat_interleave(plan.pack, -1)
