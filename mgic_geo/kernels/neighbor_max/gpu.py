"""Maximum over neighbours on a GPU, forward and backward."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels.gpu.language import jit, tl

_NODES = 16
_CHANNELS = 64


def neighbor_max_forward(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    r"""Largest feature among a node's neighbours, :math:`m_{i,c} = \max_{j \in N(i)} x_{j,c}`.

    Args:
        x: ``[M, C]``, float32, float16 or bfloat16.
        rowptr: int32 ``[N + 1]``.
        col: int32 ``[E]``.

    Returns:
        The maxima ``[N, C]`` (0 where a node has no neighbour) and whose they are, int32 ``[N, C]``
        (-1 for none; the first among equals). NaN is the largest value.
    """
    x = x.contiguous()
    nodes, channels = rowptr.size(0) - 1, x.size(1)
    best = x.new_empty(nodes, channels)
    who = torch.empty_like(best, dtype=torch.int32)
    if best.numel():
        with torch.cuda.device_of(x):
            _forward[_grid(nodes, channels)](
                best, who, x, rowptr.contiguous(), col.contiguous(), nodes, channels,
                NODES=_NODES, LANES=_CHANNELS,
            )  # fmt: skip
    return best, who


def neighbor_max_backward(grad: Tensor, who: Tensor, nodes: int) -> Tensor:
    r"""Gives each maximum's gradient to the neighbour that has it, ``[nodes, C]``.

    Atomic additions in float32: they need no transposed graph, which a graph that is rebuilt in
    each layer does not have, and few of them meet. Their order is not fixed; with
    ``torch.use_deterministic_algorithms(True)`` a sort by torch takes their place.

    Args:
        grad: Gradient of the maxima, ``[N, C]``.
        who: From :func:`neighbor_max_forward`.
        nodes: Number of rows of its ``x``.
    """
    grad = grad.contiguous()
    count, channels = grad.shape
    out = grad.new_zeros(nodes, channels, dtype=torch.float32)
    if torch.are_deterministic_algorithms_enabled():
        place = (who.long() * channels + torch.arange(channels, device=who.device))[who >= 0]
        out.view(-1).index_put_((place,), grad[who >= 0].float(), accumulate=True)
    elif grad.numel():
        with torch.cuda.device_of(grad):
            _backward[_grid(count, channels)](
                out, grad, who.contiguous(), count, channels, NODES=_NODES, LANES=_CHANNELS
            )
    return out.to(grad.dtype)


def _grid(nodes: int, channels: int) -> tuple[int]:
    return (-(-nodes // _NODES) * -(-channels // _CHANNELS),)


@jit
def _tile(nodes, channels, NODES: tl.constexpr, LANES: tl.constexpr):
    """The nodes and channels of this program, and which of them exist."""
    tiles = tl.cdiv(channels, LANES)
    node = tl.program_id(0) // tiles * NODES + tl.arange(0, NODES)
    channel = tl.program_id(0) % tiles * LANES + tl.arange(0, LANES)
    return node, channel, node < nodes, channel < channels


@jit
def _forward(best, who, x, rowptr, col, nodes, channels, NODES: tl.constexpr, LANES: tl.constexpr):
    node, channel, inside, shown = _tile(nodes, channels, NODES, LANES)
    start = tl.load(rowptr + node, mask=inside, other=0)
    degree = tl.load(rowptr + node + 1, mask=inside, other=0) - start
    value = tl.zeros([NODES, LANES], tl.float32)
    owner = tl.full([NODES, LANES], -1, tl.int32)
    for k in range(0, tl.max(degree, 0)):
        live = k < degree
        neighbor = tl.load(col + (start + k).to(tl.int64), mask=live, other=0)
        at = x + neighbor.to(tl.int64)[:, None] * channels + channel[None, :]
        v = tl.load(at, mask=live[:, None] & shown[None, :], other=0.0).to(tl.float32)
        # NaN stays visible; the first neighbour counts even at minus infinity
        larger = live[:, None] & ((v > value) | (v != v) | (k == 0))
        value = tl.where(larger, v, value)
        owner = tl.where(larger, neighbor[:, None], owner)
    at = node.to(tl.int64)[:, None] * channels + channel[None, :]
    mask = inside[:, None] & shown[None, :]
    tl.store(best + at, value.to(best.dtype.element_ty), mask=mask)
    tl.store(who + at, owner, mask=mask)


@jit
def _backward(out, grad, who, nodes, channels, NODES: tl.constexpr, LANES: tl.constexpr):
    node, channel, inside, shown = _tile(nodes, channels, NODES, LANES)
    at = node.to(tl.int64)[:, None] * channels + channel[None, :]
    mask = inside[:, None] & shown[None, :]
    owner = tl.load(who + at, mask=mask, other=-1)
    value = tl.load(grad + at, mask=mask, other=0.0).to(tl.float32)
    place = owner.to(tl.int64) * channels + channel[None, :]
    tl.atomic_add(out + place, value, mask=mask & (owner >= 0), sem="relaxed")
