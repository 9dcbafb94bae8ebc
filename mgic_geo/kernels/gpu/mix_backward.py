"""The backward kernel of grouped mixing, with and without derivatives."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from mgic_geo.kernels.gpu.language import autotune, jit, tl
from mgic_geo.kernels.gpu.tiles import block_diagonal, load_derivatives, load_rows


@autotune(
    [{"num_warps": 4}, {"num_warps": 8}],
    key=["SIZE", "OUT", "DERIVE", "GRAD_X", "PRECISION"],
)
@jit
def mix_backward(
    grad_x,
    partial,
    grad,
    x,
    mix,
    rowptr,
    col,
    weight,
    nodes,
    groups,
    stride_group,
    stride_term,
    stride_size,
    stride_out,
    SIZE: tl.constexpr,
    OUT: tl.constexpr,
    DERIVE: tl.constexpr,
    GRAD_X: tl.constexpr,
    SPAN: tl.constexpr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    PRECISION: tl.constexpr,
    NODES: tl.constexpr,
):
    """One program: one tile of inputs and outputs, every ``num_programs(1)``-th block of nodes.

    The graph is the transposed one. ``partial`` is ``[programs, groups, terms, SIZE, OUT]``; each
    program writes its own part once, so that their sum does not depend on who comes first.
    """
    input_tiles = tl.cdiv(SPAN * SIZE, INPUTS)
    output_tiles = tl.cdiv(SPAN * OUT, OUTPUTS)
    tile = tl.program_id(0)
    first = tile // (input_tiles * output_tiles) * SPAN
    a = tile // output_tiles % input_tiles * INPUTS + tl.arange(0, INPUTS)
    b = tile % output_tiles * OUTPUTS + tl.arange(0, OUTPUTS)
    shown_a = (a < SPAN * SIZE) & (first * SIZE + a < groups * SIZE)
    shown_b = (b < SPAN * OUT) & (first * OUT + b < groups * OUT)
    g0 = tl.zeros([INPUTS, OUTPUTS], tl.float32)
    g1 = tl.zeros([INPUTS, OUTPUTS], tl.float32)
    g2 = tl.zeros([INPUTS, OUTPUTS], tl.float32)
    g3 = tl.zeros([INPUTS, OUTPUTS], tl.float32)
    g4 = tl.zeros([INPUTS, OUTPUTS], tl.float32)
    g5 = tl.zeros([INPUTS, OUTPUTS], tl.float32)
    g6 = tl.zeros([INPUTS, OUTPUTS], tl.float32)
    for start in range(tl.program_id(1) * NODES, nodes, tl.num_programs(1) * NODES):
        node = start + tl.arange(0, NODES)
        inside = node < nodes
        u = load_rows(grad, node, first * OUT + b, inside, shown_b, groups * OUT)
        v = tl.trans(load_rows(x, node, first * SIZE + a, inside, shown_a, groups * SIZE))
        g0 = tl.dot(v, u, g0, input_precision=PRECISION)
        if GRAD_X:
            m = block_diagonal(
                mix, 0, b, a, first, groups,
                stride_group, stride_term, stride_out, stride_size, OUT, SIZE,
            )  # fmt: skip
            total = tl.dot(u, m, input_precision=PRECISION)
        if DERIVE:
            d = load_derivatives(
                grad, rowptr, col, weight, node, first * OUT + b, inside, shown_b, groups * OUT,
                NODES, OUTPUTS,
            )  # fmt: skip
            g1 = tl.dot(v, d[0], g1, input_precision=PRECISION)
            g2 = tl.dot(v, d[1], g2, input_precision=PRECISION)
            g3 = tl.dot(v, d[2], g3, input_precision=PRECISION)
            g4 = tl.dot(v, d[3], g4, input_precision=PRECISION)
            g5 = tl.dot(v, d[4], g5, input_precision=PRECISION)
            g6 = tl.dot(v, d[5], g6, input_precision=PRECISION)
            if GRAD_X:
                for t in tl.static_range(6):
                    m = block_diagonal(
                        mix, t + 1, b, a, first, groups,
                        stride_group, stride_term, stride_out, stride_size, OUT, SIZE,
                    )  # fmt: skip
                    total = tl.dot(d[t], m, total, input_precision=PRECISION)
        if GRAD_X:
            at = grad_x + node.to(tl.int64)[:, None] * (groups * SIZE) + (first * SIZE + a)[None, :]
            mask = inside[:, None] & shown_a[None, :]
            tl.store(at, total.to(grad_x.dtype.element_ty), mask=mask)
    terms = 7 if DERIVE else 1
    place = tl.program_id(1) * groups + first + a // SIZE
    at = (place * (terms * SIZE * OUT) + a % SIZE * OUT)[:, None] + (b % OUT)[None, :]
    same = (a // SIZE)[:, None] == (b // OUT)[None, :]
    mask = same & shown_a[:, None] & shown_b[None, :]
    at = partial + at
    tl.store(at, g0, mask=mask)
    if DERIVE:
        tl.store(at + SIZE * OUT, g1, mask=mask)
        tl.store(at + 2 * SIZE * OUT, g2, mask=mask)
        tl.store(at + 3 * SIZE * OUT, g3, mask=mask)
        tl.store(at + 4 * SIZE * OUT, g4, mask=mask)
        tl.store(at + 5 * SIZE * OUT, g5, mask=mask)
        tl.store(at + 6 * SIZE * OUT, g6, mask=mask)
