"""Grouped convolutions of images whose channels lie side by side, on all threads."""

# mypy: disable-error-code="no-untyped-def, call-arg, unreachable"

from __future__ import annotations

import functools

import numba
import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels._cpu.conv_tile import BIAS, HARDSWISH, RELU, RESIDUAL, conv_tile
from mgic_geo.kernels._cpu.pool import parts_for, run_parts
from mgic_geo.kernels._cpu.vector import lanes_of, machine

_ACTIVATIONS = {"none": 0, "relu": RELU, "hardswish": HARDSWISH}
# Pixels for which a group's weights are fetched together.
_PIXELS = 48
_PARTS = 4


@functools.cache
def _tile(out: int, itemsize: int) -> tuple[int, int]:
    """Pixels and registers of outputs at once: all sums stay in registers."""
    registers, room = -(-out // lanes_of(itemsize)), machine()[1]
    columns = 3 if registers == 3 and room >= 12 else min(registers, 2)
    return room // columns, columns


@functools.cache
def _kernel(pixels, columns):
    block = -(-_PIXELS // pixels) * pixels

    @numba.njit(cache=True, nogil=True)
    def kernel(part, parts, x, weight, bias, residual, y, shape, chunk, out, epilogue):
        height, width, height_out, width_out, side, stride, dilation = shape
        groups, taps, size, _ = weight.shape
        count = y.shape[0]
        blocks = (count + block - 1) // block
        chunks = (groups + chunk - 1) // chunk
        rows = np.empty((taps, block), np.int32)
        zeros = np.zeros(size, x.dtype)
        pad = dilation * (side // 2)
        held = -1
        for task in range(part * blocks * chunks // parts, (part + 1) * blocks * chunks // parts):
            b, c = task // chunks, task % chunks
            first = b * block
            if b != held:
                held = b
                for i in range(block):
                    pixel = min(first + i, count - 1)
                    if taps == 1 and stride == 1:
                        rows[0, i] = pixel
                        continue
                    image, rest = divmod(pixel, height_out * width_out)
                    row, column = divmod(rest, width_out)
                    for t in range(taps):
                        u = row * stride + t // side * dilation - pad
                        v = column * stride + t % side * dilation - pad
                        inside = 0 <= u < height and 0 <= v < width
                        rows[t, i] = (image * height + u) * width + v if inside else -1
            for g in range(c * chunk, min((c + 1) * chunk, groups)):
                for i in range(0, min(block, count - first), pixels):
                    conv_tile(
                        x, zeros, rows, i, weight, bias, residual, y, g, first + i,
                        min(pixels, count - first - i), size, out, epilogue, pixels, columns,
                    )  # fmt: skip

    return kernel


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
    batch, _, height, width = x.shape
    side = int(taps**0.5)
    height_out, width_out = -(-height // stride), -(-width // stride)
    y = torch.empty(
        (batch, groups * out, height_out, width_out), dtype=x.dtype,
        memory_format=torch.channels_last,
    )  # fmt: skip
    epilogue = BIAS * (bias is not None) + RESIDUAL * (residual is not None) + _ACTIVATIONS[act]
    tile = _tile(out, x.element_size())
    source, target = _rows(x), _rows(y)
    rest = target if residual is None else _rows(residual)
    shift = source[0] if bias is None else bias.numpy().reshape(-1)
    shape = (height, width, height_out, width_out, side, stride, dilation)
    kernel = _kernel(*tile)
    work = batch * height_out * width_out * groups * taps * size * out
    # enough tasks for all threads
    parts = parts_for(work // 8, _PARTS)
    blocks = -(-target.shape[0] // _PIXELS)
    chunk = groups if blocks >= 2 * parts else max(groups * blocks // (2 * parts), 1)
    run_parts(
        kernel, parts, source, weight.numpy(), shift, rest, target, shape, chunk, out, epilogue
    )
    return y


def _rows(x: Tensor):
    x = x.permute(0, 2, 3, 1)
    if not x.is_contiguous():
        x = x.contiguous()
    return x.view(-1, x.size(-1)).numpy()
