"""Grouped convolutions of images whose channels lie side by side, on all threads."""

# mypy: disable-error-code="no-untyped-def, call-arg, unreachable"

from __future__ import annotations

import functools
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels._cpu.conv_tile import (
    BIAS,
    HARDSWISH,
    RELU,
    RESIDUAL,
    conv_tile,
    depthwise_tile,
)
from mgic_geo.kernels._cpu.pool import parts_for, run_parts
from mgic_geo.kernels._cpu.vector import lanes_of, machine

_ACTIVATIONS = {"none": 0, "relu": RELU, "hardswish": HARDSWISH}
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


@functools.cache
def _kernel(pixels, columns):
    block, more = -(-_PIXELS // pixels) * pixels, machine()[1]

    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, x, weight, bias, residual, y, table, chunk, out, epilogue):
        groups, size = weight.shape[0], weight.shape[2]
        count = table.shape[1] - more
        images = y.shape[0] // count
        pixels_in = x.shape[0] // images
        blocks = (count + block - 1) // block
        chunks = (groups + chunk - 1) // chunk
        tasks = images * blocks * chunks
        zeros = np.zeros(size, x.dtype)
        for task in range(part * tasks // parts, (part + 1) * tasks // parts):
            b, c = task // chunks, task % chunks
            image, first = b // blocks, b % blocks * block
            for g in range(c * chunk, min((c + 1) * chunk, groups)):
                for i in range(first, min(first + block, count), pixels):
                    conv_tile(
                        x, zeros, table, i, image * pixels_in, weight, bias, residual, y, g,
                        image * count + i, min(pixels, count - i), size, out, epilogue,
                        pixels, columns,
                    )  # fmt: skip

    return kernel


@functools.cache
def _depthwise_kernel(pixels, columns, multiplier):
    more = machine()[1]

    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, x, weight, bias, residual, y, table, epilogue):
        count = table.shape[1] - more
        images = y.shape[0] // count
        pixels_in = x.shape[0] // images
        blocks = (count + pixels - 1) // pixels
        tasks = images * blocks
        zeros = np.zeros(x.shape[1], x.dtype)
        for task in range(part * tasks // parts, (part + 1) * tasks // parts):
            image, i = task // blocks, task % blocks * pixels
            depthwise_tile(
                x, zeros, table, i, image * pixels_in, weight, bias, residual, y,
                image * count + i, min(pixels, count - i), epilogue,
                pixels, columns, multiplier,
            )  # fmt: skip

    return kernel


def depthwise_conv_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    stride: int = 1,
    dilation: int = 1,
    act: str = "none",
) -> Tensor:
    """:func:`grouped_conv_forward` with filters of their own for each channel.

    There must be whole registers of channels in the result.

    Args:
        x: ``[B, C, H, W]``, channels last.
        weight: ``[taps, C_out]``, neighbouring ones for one channel of ``x``.
        bias: ``[C_out]``.
        residual: Added ahead of the activation.
        stride: Stride.
        dilation: Distance of the taps.
        act: As there.
    """
    taps, channels = weight.shape
    y, tensors, geometry = _prepare(
        x, channels, weight, bias, residual, taps, stride, dilation, act
    )
    columns = 4
    kernel = _depthwise_kernel(machine()[1] // columns, columns, channels // x.size(1))
    table, epilogue = geometry
    run_parts(kernel, parts_for(y.numel() * taps // 2, _PARTS), *tensors, table, epilogue)
    return y


def _prepare(
    x: Tensor, channels: int, weight: Tensor, bias: Tensor | None, residual: Tensor | None,
    taps: int, stride: int, dilation: int, act: str,
) -> tuple[Tensor, list[Any], tuple[Any, int]]:  # fmt: skip
    """Memory for the result; the arrays of a kernel; and its table of taps and epilogue."""
    batch, _, height, width = x.shape
    shape = (batch, channels, -(-height // stride), -(-width // stride))
    y = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
    source, target = rows_of(x), rows_of(y)
    rest = target if residual is None else rows_of(residual)
    shift = source[0] if bias is None else bias.detach().numpy().reshape(-1)
    epilogue = BIAS * (bias is not None) + RESIDUAL * (residual is not None) + _ACTIVATIONS[act]
    table = _taps(height, width, int(taps**0.5), stride, dilation)
    return y, [source, weight.detach().numpy(), shift, rest, target], (table, epilogue)


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
        act: ``"none"``, ``"relu"`` or ``"hardswish"``.
    """
    groups, taps, size, _ = weight.shape
    y, tensors, geometry = _prepare(
        x, groups * out, weight, bias, residual, taps, stride, dilation, act
    )
    table, epilogue = geometry
    # enough tasks for all threads
    parts = parts_for(y.numel() * taps * size // _PRODUCTS, _PARTS)
    blocks = -(-(y.numel() // (groups * out)) // _PIXELS)
    chunk = groups if blocks >= 2 * parts else max(groups * blocks // (2 * parts), 1)
    kernel = _kernel(*_tile(out, x.element_size()))
    run_parts(kernel, parts, *tensors, table, chunk, out, epilogue)
    return y


def rows_of(x: Tensor) -> Any:
    """Pixels as rows of channels."""
    x = x.detach().permute(0, 2, 3, 1)
    if not x.is_contiguous():
        x = x.contiguous()
    return x.view(-1, x.size(-1)).numpy()
