"""What the kernels load: rows of features, their derivatives, tiles of the mixing weights.

Everything becomes float32 on its way in, whatever the input is: all sums are taken in it.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from mgic_geo.kernels.gpu.language import jit, tl


@jit
def load_rows(x, node, channel, inside, shown, channels):
    """``x[node, channel]`` in float32, 0 outside."""
    at = x + node.to(tl.int64)[:, None] * channels + channel[None, :]
    return tl.load(at, mask=inside[:, None] & shown[None, :], other=0.0).to(tl.float32)


@jit
def load_derivatives(
    x,
    rowptr,
    col,
    weight,
    node,
    channel,
    inside,
    shown,
    channels,
    NODES: tl.constexpr,
    LANES: tl.constexpr,
):
    """The six weighted sums over the neighbours; one load of a neighbour serves them all."""
    start = tl.load(rowptr + node, mask=inside, other=0)
    degree = tl.load(rowptr + node + 1, mask=inside, other=0) - start
    d1 = tl.zeros([NODES, LANES], tl.float32)
    d2 = tl.zeros([NODES, LANES], tl.float32)
    d3 = tl.zeros([NODES, LANES], tl.float32)
    d4 = tl.zeros([NODES, LANES], tl.float32)
    d5 = tl.zeros([NODES, LANES], tl.float32)
    d6 = tl.zeros([NODES, LANES], tl.float32)
    for k in range(0, tl.max(degree, 0)):
        live = k < degree
        edge = (start + k).to(tl.int64)
        neighbor = tl.load(col + edge, mask=live, other=0)
        v = load_rows(x, neighbor, channel, live, shown, channels)
        w = weight + edge * 6
        d1 += tl.load(w, mask=live, other=0.0).to(tl.float32)[:, None] * v
        d2 += tl.load(w + 1, mask=live, other=0.0).to(tl.float32)[:, None] * v
        d3 += tl.load(w + 2, mask=live, other=0.0).to(tl.float32)[:, None] * v
        d4 += tl.load(w + 3, mask=live, other=0.0).to(tl.float32)[:, None] * v
        d5 += tl.load(w + 4, mask=live, other=0.0).to(tl.float32)[:, None] * v
        d6 += tl.load(w + 5, mask=live, other=0.0).to(tl.float32)[:, None] * v
    return d1, d2, d3, d4, d5, d6


@jit
def block_diagonal(
    mix,
    term,
    a,
    b,
    first,
    groups,
    stride_group,
    stride_term,
    stride_a,
    stride_b,
    A: tl.constexpr,
    B: tl.constexpr,
):
    """The matrix from channels ``a`` to ``b`` of a span of groups, 0 between different groups.

    Channels count from those of the group ``first``; a group has ``A`` and ``B`` of them.
    """
    group = first + a // A
    same = (a // A)[:, None] == (b // B)[None, :]
    at = mix + term * stride_term + (group * stride_group + a % A * stride_a)[:, None]
    mask = same & (group < groups)[:, None]
    return tl.load(at + (b % B * stride_b)[None, :], mask=mask, other=0.0).to(tl.float32)
