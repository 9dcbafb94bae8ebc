"""Features and derivatives of every node on a GPU."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels.gpu.language import jit, tl
from mgic_geo.kernels.gpu.tiles import load_derivatives, load_rows

_NODES = 32
_LANES = 32
_LARGEST_FUSED = 64


def mixes_in_place(size: int, out: int, derivatives: int) -> bool:
    """Whether ``diff_conv_forward`` is meant for groups of this size and so many derivatives.

    It works for all, but gathers again for each 128 outputs. From there on a matrix product of what
    :func:`derive` writes should win back more than the traffic costs.
    """
    return max(size, out) <= _LARGEST_FUSED and derivatives == 6


def derive(x: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor) -> Tensor:
    """Equal to :func:`mgic_geo.kernels.derive` without a tensor of edges: ``[N, 7, C]``.

    Args:
        x: ``[N, C]``, float32, float16 or bfloat16; sums are taken in float32.
        rowptr: int32 ``[N + 1]``.
        col: int32 ``[E]``.
        weight: ``[E, 6]``.
    """
    x = x.contiguous()
    nodes, channels = x.shape
    f = x.new_empty(nodes, 7, channels)
    if f.numel():
        grid = (-(-nodes // _NODES) * -(-channels // _LANES),)
        with torch.cuda.device_of(x):
            _derive[grid](
                f, x, rowptr.contiguous(), col.contiguous(), weight.contiguous(), nodes, channels,
                NODES=_NODES, LANES=_LANES,
            )  # fmt: skip
    return f


@jit
def _derive(f, x, rowptr, col, weight, nodes, channels, NODES: tl.constexpr, LANES: tl.constexpr):
    tiles = tl.cdiv(channels, LANES)
    node = tl.program_id(0) // tiles * NODES + tl.arange(0, NODES)
    channel = tl.program_id(0) % tiles * LANES + tl.arange(0, LANES)
    inside, shown = node < nodes, channel < channels
    at = f + node.to(tl.int64)[:, None] * (7 * channels) + channel[None, :]
    mask = inside[:, None] & shown[None, :]
    v = load_rows(x, node, channel, inside, shown, channels)
    tl.store(at, v.to(f.dtype.element_ty), mask=mask)
    d = load_derivatives(
        x, rowptr, col, weight, node, channel, inside, shown, channels, NODES, LANES
    )
    for t in tl.static_range(6):
        tl.store(at + (t + 1) * channels, d[t].to(f.dtype.element_ty), mask=mask)
