"""The forward kernel of grouped mixing, with and without derivatives."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from mgic_geo.kernels.gpu.language import autotune, jit, tl
from mgic_geo.kernels.gpu.tiles import block_diagonal, load_derivatives, load_rows


@autotune(
    [{"NODES": 32, "num_warps": 4}, {"NODES": 32, "num_warps": 8}, {"NODES": 64, "num_warps": 8}],
    key=["SIZE", "OUT", "DERIVE", "PRECISION"],
)
@jit
def mix_forward(
    y,
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
    SPAN: tl.constexpr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    PRECISION: tl.constexpr,
    NODES: tl.constexpr,
):
    """One program: ``NODES`` nodes, one tile of outputs, all the inputs that these depend on."""
    output_tiles = tl.cdiv(SPAN * OUT, OUTPUTS)
    tiles = tl.cdiv(groups, SPAN) * output_tiles
    # the tiles of a node lie in the same memory: they run next to each other
    tile = tl.program_id(0) % tiles
    node = tl.program_id(0) // tiles * NODES + tl.arange(0, NODES)
    inside = node < nodes
    first = tile // output_tiles * SPAN
    b = tile % output_tiles * OUTPUTS + tl.arange(0, OUTPUTS)
    total = tl.zeros([NODES, OUTPUTS], tl.float32)
    for start in range(0, SPAN * SIZE, INPUTS):
        a = start + tl.arange(0, INPUTS)
        shown = (a < SPAN * SIZE) & (first * SIZE + a < groups * SIZE)
        v = load_rows(x, node, first * SIZE + a, inside, shown, groups * SIZE)
        m = block_diagonal(
            mix, 0, a, b, first, groups,
            stride_group, stride_term, stride_size, stride_out, SIZE, OUT,
        )  # fmt: skip
        total = tl.dot(v, m, total, input_precision=PRECISION)
        if DERIVE:
            d = load_derivatives(
                x, rowptr, col, weight, node, first * SIZE + a, inside, shown, groups * SIZE,
                NODES, INPUTS,
            )  # fmt: skip
            for t in tl.static_range(6):
                m = block_diagonal(
                    mix, t + 1, a, b, first, groups,
                    stride_group, stride_term, stride_size, stride_out, SIZE, OUT,
                )  # fmt: skip
                total = tl.dot(d[t], m, total, input_precision=PRECISION)
    shown = (b < SPAN * OUT) & (first * OUT + b < groups * OUT)
    at = y + node.to(tl.int64)[:, None] * (groups * OUT) + (first * OUT + b)[None, :]
    tl.store(at, total.to(y.dtype.element_ty), mask=inside[:, None] & shown[None, :])
