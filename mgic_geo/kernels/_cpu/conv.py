"""Grouped convolutions of images whose channels lie side by side, on all threads."""

# mypy: disable-error-code="no-untyped-def, call-arg, unreachable"

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numba import carray, types
from numba.extending import intrinsic
from torch import Tensor

from mgic_geo.kernels._cpu.conv_tile import (
    BIAS,
    HARDSWISH,
    RELU,
    RELU6,
    RESIDUAL,
    conv_tile,
    depthwise_tile,
)
from mgic_geo.kernels._cpu.pool import parts_for, run_parts
from mgic_geo.kernels._cpu.vector import lanes_of, machine

_TYPES = {torch.float32: types.float32, torch.float64: types.float64}
_ACTIVATIONS = {"none": 0, "relu": RELU, "hardswish": HARDSWISH, "relu6": RELU6}
# Pixels for which a group's weights are fetched together.
_PIXELS = 48
_PARTS = 4
# Products that take as long as a number that is read and written.
_PRODUCTS = 8


@functools.cache
def _tile(out: int, itemsize: int) -> tuple[int, int]:
    """Pixels and registers of outputs at once: all sums stay in registers."""
    registers, room = -(-out // lanes_of(itemsize)), machine()[1]
    columns = 3 if registers == 3 and room >= 12 else min(registers, 2)
    return room // columns, columns


@functools.lru_cache(256)
def _taps(height: int, width: int, side: int, stride: int, dilation: int) -> Any:
    """The pixel under each tap for each pixel of the result, ``[taps, H_out * W_out + more]``.

    -1 outside of the image; some more at the end repeat the last, so that a tile may read on.
    """
    pad = dilation * (side // 2)
    places = []
    for size in (height, width):
        start = np.arange(-(-size // stride)) * stride - pad
        at = start + np.arange(side)[:, None] * dilation
        places.append(np.where((at >= 0) & (at < size), at, -1))
    rows, columns = places[0][:, None, :, None], places[1][None, :, None, :]
    table = np.where((rows < 0) | (columns < 0), -1, rows * width + columns)
    table = table.reshape(side * side, -1)
    more = np.repeat(table[:, -1:], machine()[1], axis=1)
    return np.ascontiguousarray(np.concatenate([table, more], axis=1).astype(np.int32))


@intrinsic
def _pointer(typing, address, kind):
    """An address as a pointer to numbers of a type."""
    pointer = types.CPointer(kind.dtype)

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64, kind), generate


@functools.cache
def _kernel(pixels, columns, kind):
    block, more = -(-_PIXELS // pixels) * pixels, machine()[1]

    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, x, weight, bias, residual, y, sizes, table, chunk, out, epilogue):
        images, pixels_in, groups, size, filled = sizes
        taps, count = table.shape[0], table.shape[1] - more
        xs = carray(_pointer(x, kind), (images * pixels_in, groups * size))
        weights = carray(_pointer(weight, kind), (groups, taps, size, filled))
        shifts = carray(_pointer(bias, kind), (groups * filled,))
        rest = carray(_pointer(residual, kind), (images * count, groups * out))
        ys = carray(_pointer(y, kind), (images * count, groups * out))
        blocks = (count + block - 1) // block
        chunks = (groups + chunk - 1) // chunk
        tasks = images * blocks * chunks
        zeros = np.zeros(size, xs.dtype)
        for task in range(part * tasks // parts, (part + 1) * tasks // parts):
            b, c = task // chunks, task % chunks
            image, first = b // blocks, b % blocks * block
            for g in range(c * chunk, min((c + 1) * chunk, groups)):
                for i in range(first, min(first + block, count), pixels):
                    conv_tile(
                        xs, zeros, table, i, image * pixels_in, weights, shifts, rest, ys, g,
                        image * count + i, min(pixels, count - i), size, out, epilogue,
                        pixels, columns,
                    )  # fmt: skip

    return kernel


@functools.cache
def _depthwise_kernel(pixels, columns, multiplier, kind):
    more = machine()[1]

    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, x, weight, bias, residual, y, sizes, table, epilogue):
        images, pixels_in, channels_in, channels, filled = sizes
        taps, count = table.shape[0], table.shape[1] - more
        xs = carray(_pointer(x, kind), (images * pixels_in, channels_in))
        weights = carray(_pointer(weight, kind), (taps, filled))
        shifts = carray(_pointer(bias, kind), (filled,))
        rest = carray(_pointer(residual, kind), (images * count, channels))
        ys = carray(_pointer(y, kind), (images * count, channels))
        blocks = (count + pixels - 1) // pixels
        tasks = images * blocks
        zeros = np.zeros(channels_in, xs.dtype)
        for task in range(part * tasks // parts, (part + 1) * tasks // parts):
            image, i = task // blocks, task % blocks * pixels
            depthwise_tile(
                xs, zeros, table, i, image * pixels_in, weights, shifts, rest, ys,
                image * count + i, min(pixels, count - i), epilogue,
                pixels, columns, multiplier,
            )  # fmt: skip

    return kernel


class _Call(NamedTuple):
    """What a call depends on besides the numbers: a network makes the same ones again and again."""

    shape: tuple[int, ...]
    kernel: Any
    parts: int
    rest: tuple[Any, ...]

    def __call__(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None
    ) -> Tensor:
        y = torch.empty(self.shape, dtype=x.dtype, memory_format=torch.channels_last)
        x, weight = _channels_last(x), weight.contiguous()
        bias = None if bias is None else bias.contiguous()
        residual = None if residual is None else _channels_last(residual)
        # Addresses: a view of a tensor as an array takes longer than many of these calls.
        target = y.data_ptr()
        run_parts(
            self.kernel, self.parts, x.data_ptr(), weight.data_ptr(),
            target if bias is None else bias.data_ptr(),
            target if residual is None else residual.data_ptr(), target, *self.rest,
        )  # fmt: skip
        return y


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _epilogue(bias: bool, residual: bool, act: str) -> int:
    return BIAS * bias + RESIDUAL * residual + _ACTIVATIONS[act]


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
        out: Outputs of a channel, a divisor of a register's numbers.
        stride: Stride.
        dilation: Distance of the taps.
        act: As there.
    """
    epilogue = _epilogue(bias is not None, residual is not None, act)
    threads = torch.get_num_threads()
    call = _depthwise_call(
        x.shape, x.dtype, weight.shape, out, stride, dilation, epilogue, threads
    )  # fmt: skip
    return call(x, weight, bias, residual)


@functools.lru_cache(1024)
def _depthwise_call(
    shape: tuple[int, ...], dtype: torch.dtype, weight: tuple[int, ...], out: int, stride: int,
    dilation: int, epilogue: int, threads: int,
) -> _Call:  # fmt: skip
    batch, inputs, height, width = shape
    taps, filled = weight
    channels = inputs * out
    table = _taps(height, width, int(taps**0.5), stride, dilation)
    to = (batch, channels, -(-height // stride), -(-width // stride))
    columns = 4
    kernel = _depthwise_kernel(machine()[1] // columns, columns, out, _TYPES[dtype])
    parts = parts_for(math.prod(to) * taps // 2, _PARTS)
    return _Call(
        to, kernel, parts, ((batch, height * width, inputs, channels, filled), table, epilogue)
    )


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
    epilogue = _epilogue(bias is not None, residual is not None, act)
    threads = torch.get_num_threads()
    call = _grouped_call(x.shape, x.dtype, weight.shape, out, stride, dilation, epilogue, threads)
    return call(x, weight, bias, residual)


@functools.lru_cache(1024)
def _grouped_call(
    shape: tuple[int, ...], dtype: torch.dtype, weight: tuple[int, ...], out: int, stride: int,
    dilation: int, epilogue: int, threads: int,
) -> _Call:  # fmt: skip
    batch, _, height, width = shape
    groups, taps, size, filled = weight
    table = _taps(height, width, int(taps**0.5), stride, dilation)
    to = (batch, groups * out, -(-height // stride), -(-width // stride))
    # enough tasks for all threads
    parts = parts_for(math.prod(to) * taps * size // _PRODUCTS, _PARTS)
    blocks = -(-math.prod(to) // (groups * out * _PIXELS))
    chunk = groups if blocks >= 2 * parts else max(groups * blocks // (2 * parts), 1)
    kernel = _kernel(*_tile(out, dtype.itemsize), _TYPES[dtype])
    sizes = (batch, height * width, groups, size, filled)
    return _Call(to, kernel, parts, (sizes, table, chunk, out, epilogue))


def rows_of(x: Tensor) -> Any:
    """Pixels as rows of channels."""
    x = x.detach().permute(0, 2, 3, 1)
    if not x.is_contiguous():
        x = x.contiguous()
    return x.view(-1, x.size(-1)).numpy()
