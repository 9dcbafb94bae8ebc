"""Maximum over neighbours: nodes shared out forward, channels backward."""

# mypy: disable-error-code="no-untyped-def, call-arg"

from __future__ import annotations

import functools
import math

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from mgic_geo.kernels.cpu.memory import arrays
from mgic_geo.kernels.cpu.threads import PARTS, parts_for, run_parts
from mgic_geo.kernels.cpu.vector import Emitter, lanes_of

_REGISTERS = 4  # of values, and as many of numbers, at once
_WORK = 10  # visits to a number: its node's neighbours


def neighbor_max_forward(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    """The maxima, and whose they are."""
    best = x.new_empty(rowptr.size(0) - 1, x.size(1))
    who = torch.empty_like(best, dtype=torch.int32)
    registers, rest = divmod(x.size(1), lanes_of(x.element_size()))
    kernel = _forward if rest else _whole_kernel(math.gcd(registers, _REGISTERS))
    parts = parts_for(_WORK * best.numel(), PARTS)
    run_parts(kernel, parts, *arrays(x, rowptr, col, best, who))
    return best, who


def neighbor_max_backward(grad: Tensor, who: Tensor, nodes: int) -> Tensor:
    """Sends each gradient to the neighbour that was the maximum."""
    # NumPy's zeros touch no memory before the loop does, and wake none of torch's threads
    out = torch.from_numpy(np.zeros((nodes, grad.size(1)), arrays(grad)[0].dtype))
    run_parts(_backward, parts_for(2 * grad.numel()), *arrays(grad, who, out))
    return out


@intrinsic(prefer_literal=True)
def _max_rows(typing, x, rowptr, col, best, who, first, last, width):
    """Rows ``first`` to ``last`` of both results: a node's registers while its neighbours pass.

    ``width`` registers at once; the channels fill a whole number of so many.
    """
    registers = range(width.literal_value)

    def generate(context, builder, signature, args):
        o = Emitter(context, builder, x)
        features, rows, columns, maxima, owners = o.pointers(signature.args[:5], args[:5])
        stride = o.columns(x, args[0])
        numbers = ir.VectorType(ir.IntType(32), o.lanes)
        nobody = ir.Constant(numbers, [-1] * o.lanes)
        top = o.variables(len(registers))
        whose = [cgutils.alloca_once(builder, numbers) for _ in registers]

        def visit(edge, channel):
            """The neighbour's registers, and its number in every lane."""
            neighbor = o.index(columns, edge)
            at = o.add(o.mul(neighbor, stride), channel)
            short = builder.trunc(neighbor, ir.IntType(32))
            one = builder.insert_element(nobody, short, ir.IntType(32)(0))
            each = builder.shuffle_vector(one, one, ir.Constant(numbers, [0] * o.lanes))
            return [o.load(features, o.add(at, r * o.lanes)) for r in registers], each

        step = len(registers) * o.lanes
        with (
            o.loop(args[6], args[5]) as (node, _),
            o.loop(builder.udiv(stride, o.constant(step))) as (part, _),
        ):
            channel = o.mul(part, step)
            start, stop = o.index(rows, node), o.index(rows, o.add(node, 1))
            for r in registers:
                builder.store(o.zero, top[r])
                builder.store(nobody, whose[r])
            with builder.if_then(builder.icmp_signed("<", start, stop)):
                row, each = visit(start, channel)
                for r in registers:
                    builder.store(row[r], top[r])
                    builder.store(each, whose[r])
            with o.loop(stop, o.add(start, 1)) as (edge, _):
                row, each = visit(edge, channel)
                for r in registers:
                    best_yet = builder.load(top[r])
                    larger = builder.or_(
                        builder.fcmp_ordered(">", row[r], best_yet),
                        builder.fcmp_unordered("uno", row[r], row[r]),  # NaN stays visible
                    )
                    builder.store(builder.select(larger, row[r], best_yet), top[r])
                    owner = builder.select(larger, each, builder.load(whose[r]))
                    builder.store(owner, whose[r])
            for r in registers:
                at = o.add(o.mul(node, stride), channel, r * o.lanes)
                o.store(builder.load(top[r]), maxima, at)
                place = builder.bitcast(builder.gep(owners, [at]), numbers.as_pointer())
                builder.store(builder.load(whose[r]), place, align=4)
        return context.get_dummy_value()

    return types.void(x, rowptr, col, best, who, first, last, width), generate


@functools.cache
def _whole_kernel(width):
    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, x, rowptr, col, best, who):
        n = best.shape[0]
        start, stop = part * n // parts, (part + 1) * n // parts
        _max_rows(x, rowptr, col, best, who, start, stop, width)

    return kernel


@numba.njit(cache=True, nogil=True)
def _forward(part, parts, x, rowptr, col, best, who):
    """0 and -1 where a node has no neighbour."""
    count, channels = best.shape
    for i in range(part * count // parts, (part + 1) * count // parts):
        start, stop = rowptr[i], rowptr[i + 1]
        best[i] = 0.0
        who[i] = -1
        for e in range(start, stop):
            j = col[e]
            for c in range(channels):
                v = x[j, c]
                larger = (v > best[i, c]) | (v != v) | (e == start)  # NaN stays visible
                best[i, c] = v if larger else best[i, c]
                who[i, c] = j if larger else who[i, c]


@numba.njit(cache=True, nogil=True)
def _backward(part, parts, grad, who, out):
    count, channels = grad.shape
    start, stop = part * channels // parts, (part + 1) * channels // parts
    for i in range(count):
        for c in range(start, stop):
            if 0 <= who[i, c] < out.shape[0]:
                out[who[i, c], c] += grad[i, c]
