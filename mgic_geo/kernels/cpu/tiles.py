"""Tiles of the fused kernels: a few nodes and channels that stay in the cache.

A tile's scratch holds ``[block][term][channel][pack]`` numbers. A block is ``pack`` nodes side by
side: groups of ``size`` channels fill a register with ``pack = lanes / size`` nodes, so that small
groups use whole registers too; groups of a register or more have ``pack = 1``. A group's products
are then sums of (weights of an input channel) x (that channel of the block's nodes, repeated), both
plain loads.

The last arguments, from ``pack`` on, are constants of the generated code.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from mgic_geo.kernels.cpu.vector import Emitter, machine

BLOCKS = 16
DERIVATIVES = 6
BIAS, RELU, RESIDUAL, SHARE = 1, 2, 4, 8


@intrinsic(prefer_literal=True)
def derive_tile(
    typing, x, rowptr, col, weight, first, count, origin, channel, scratch, pack, chunk
):  # fmt: skip
    """scratch[:, 0] = the nodes' features, scratch[:, 1:] = their derivatives.

    Nodes ``first`` to ``first + count`` (zeros up to the end of the last block), ``chunk`` channels
    from ``channel`` on; the first row of ``x`` is node ``origin``.
    """
    nodes, channels = pack.literal_value, chunk.literal_value

    def generate(context, builder, signature, args):
        o = Emitter(context, builder, x)
        features, rows, columns, weights, target = o.pointers(
            [*signature.args[:4], scratch], [*args[:4], args[8]]
        )
        first_, count_, origin_, channel_ = args[4:8]
        stride = o.columns(x, args[0])
        fitting = max(machine()[1] // (DERIVATIVES * nodes), 1)
        width = max(w for w in range(1, fitting + 1) if channels % (w * o.lanes) == 0)
        with (
            o.loop(o.ceil_div(count_, nodes)) as (block, _),
            o.loop(channels // (width * o.lanes)) as (part, _),
        ):
            offset = o.mul(part, width * o.lanes)
            start_of_row = o.add(channel_, offset)
            terms = []
            for p in range(nodes):
                node, inside = _node(o, first_, count_, o.add(o.mul(block, nodes), p))
                start = o.index(rows, node)
                stop = builder.select(inside, o.index(rows, o.add(node, 1)), start)
                place = o.mul(builder.sub(node, origin_), stride)
                own = _row(o, features, o.add(place, start_of_row), width, inside)
                sums = [o.variables(width) for _ in range(DERIVATIVES)]
                with o.loop(stop, start) as (edge, _):
                    row = builder.sub(o.index(columns, edge), origin_)
                    source = o.add(o.mul(row, stride), start_of_row)
                    neighbor = [o.load(features, o.add(source, v * o.lanes)) for v in range(width)]
                    for t in range(DERIVATIVES):
                        w = o.splat(weights, o.add(o.mul(edge, DERIVATIVES), t))
                        for v in range(width):
                            o.accumulate(w, neighbor[v], sums[t][v])
                terms.append([own] + [[builder.load(v) for v in row] for row in sums])
            out = o.add(o.mul(block, (1 + DERIVATIVES) * channels), offset)
            for t in range(1 + DERIVATIVES):
                for v in range(width):
                    woven = o.zip([terms[p][t][v] for p in range(nodes)])
                    for m, value in enumerate(woven):
                        at = o.mul(o.add(out, t * channels + v * o.lanes), nodes)
                        o.store(value, target, o.add(at, m * o.lanes))
        return context.get_dummy_value()

    return types.void(
        x, rowptr, col, weight, first, count, origin, channel, scratch, pack, chunk
    ), generate  # fmt: skip


@intrinsic(prefer_literal=True)
def copy_tile(typing, x, shift, first, count, channel, scratch, pack, chunk, shifted):
    """scratch = the nodes' features, less ``shift`` (a number a channel) if ``shifted``.

    A tile of one term and ``chunk`` channels.
    """
    nodes, channels, moved = _constants((pack, chunk, shifted))

    def generate(context, builder, signature, args):
        o = Emitter(context, builder, x)
        features, shifts, target = o.pointers([x, shift, scratch], [args[0], args[1], args[5]])
        first_, count_, channel_ = args[2:5]
        stride = o.columns(x, args[0])
        with (
            o.loop(o.ceil_div(count_, nodes)) as (block, _),
            o.loop(channels // o.lanes) as (v, _),
        ):
            offset = o.add(channel_, o.mul(v, o.lanes))
            rows = []
            for p in range(nodes):
                node, inside = _node(o, first_, count_, o.add(o.mul(block, nodes), p))
                row = o.load(features, o.add(o.mul(node, stride), offset))
                if moved:
                    row = builder.fsub(row, o.load(shifts, offset))
                rows.append(builder.select(inside, row, o.zero))
            out = o.add(o.mul(block, channels * nodes), o.mul(v, o.lanes * nodes))
            for m, value in enumerate(o.zip(rows)):
                o.store(value, target, o.add(out, m * o.lanes))
        return context.get_dummy_value()

    return types.void(
        x, shift, first, count, channel, scratch, pack, chunk, shifted
    ), generate  # fmt: skip


@intrinsic(prefer_literal=True)
def mix_tile(
    typing, scratch, mix, bias, residual, y, group, first, count, channel,
    pack, terms, chunk, chunk_out, size, size_out, epilogue,
):  # fmt: skip
    """y = the tile's groups times their weights, ``mix[group, term, c, o * pack + node]``.

    Then as ``epilogue`` says: plus ``bias``, ReLU, plus ``residual`` (shaped as y), in this order;
    or the result is added to ``residual``, too (``SHARE``).
    """
    literal = (pack, terms, chunk, chunk_out, size, size_out, epilogue)
    nodes, depth, channels, channels_out, inputs, outputs, after = (
        v.literal_value for v in literal
    )

    def generate(context, builder, signature, args):
        o = Emitter(context, builder, scratch)
        tile, weights, biases, rest, out = o.pointers(signature.args[:5], args[:5])
        group_, first_, count_, channel_ = args[5:9]
        stride = o.columns(y, args[4])
        row = outputs * nodes
        columns = 2 if row % (2 * o.lanes) == 0 else 1
        sums_at_once = 16 if machine()[1] > 16 else 8
        blocks = max(sums_at_once // (nodes * columns), 1)
        step = depth * channels * nodes
        bundle = max(outputs, o.lanes)

        def multiply(base, groups_from, q, column):
            """Sums of ``blocks`` blocks for the groups of bundle q, registers ``column`` on."""
            sums = [[o.variables(columns) for _ in range(blocks)] for _ in range(nodes)]

            def products(t, c, unrolled=0):
                for g in range(nodes):
                    local = o.add(o.mul(q, bundle // outputs), g)
                    at = o.add(o.mul(o.add(groups_from, local), depth), t)
                    at = o.add(o.mul(o.add(o.mul(at, inputs), c, unrolled), row), column)
                    w = [o.load(weights, o.add(at, v * o.lanes)) for v in range(columns)]
                    place = o.add(o.mul(t, channels), o.mul(local, inputs), c, unrolled)
                    place = o.add(base, o.mul(place, nodes))
                    for b in range(blocks):
                        f = o.splat(tile, o.add(place, b * step), nodes)
                        for v in range(columns):
                            o.accumulate(f, w[v], sums[g][b][v])

            with o.loop(depth) as (t, _):
                if inputs <= 16:
                    for c in range(inputs):
                        products(t, 0, c)
                else:
                    with o.loop(inputs) as (c, _):
                        products(t, c)
            return sums

        def finish(sums, sub, q, column):
            first_of_sub = o.mul(sub, blocks * nodes)
            values = []
            for b in range(blocks):
                for v in range(columns):
                    rows = o.unzip([builder.load(sums[g][b][v]) for g in range(nodes)])
                    values += [(b * nodes + p, v, value) for p, value in enumerate(rows)]

            def put(local, v, value):
                at = o.add(channel_, o.mul(q, bundle), column, v * o.lanes)
                place = o.add(o.mul(o.add(first_, local), stride), at)
                if after & BIAS:
                    value = builder.fadd(value, o.load(biases, at))
                if after & RELU:
                    value = o.relu(value)
                if after & RESIDUAL:
                    value = builder.fadd(value, o.load(rest, place))
                if after & SHARE:
                    total = builder.fadd(value, o.load(rest, place))
                    o.store(total, rest, place)
                o.store(value, out, place)

            # One question for all: a value used behind its own would be computed there, too, and
            # its sum not beside the others, but after them.
            whole = builder.icmp_signed("<=", o.add(first_of_sub, blocks * nodes), count_)
            with builder.if_else(whole) as (all_of_them, some):
                with all_of_them:
                    for row, v, value in values:
                        put(o.add(first_of_sub, row), v, value)
                with some:
                    for row, v, value in values:
                        local = o.add(first_of_sub, row)
                        with builder.if_then(builder.icmp_signed("<", local, count_)):
                            put(local, v, value)

        with (
            o.loop(o.ceil_div(o.ceil_div(count_, nodes), blocks)) as (sub, _),
            o.loop(channels_out // bundle) as (q, _),
            o.loop(max(outputs // (columns * o.lanes), 1)) as (part, _),
        ):
            column = o.mul(part, columns * o.lanes)
            finish(multiply(o.mul(sub, blocks * step), group_, q, column), sub, q, column)
        return context.get_dummy_value()

    return types.void(
        scratch, mix, bias, residual, y, group, first, count, channel, *literal
    ), generate  # fmt: skip


@intrinsic(prefer_literal=True)
def outer_tile(
    typing, scratch, own, group, count, out, pack, terms, chunk, chunk_own, size, size_own
):  # fmt: skip
    """out[group, t, c, o * pack + node] += own[c] scratch[t, o], summed over the tile's blocks.

    With one term a last row, c = size_own, takes the sums of scratch itself. The caller adds up
    the ``pack`` nodes.
    """
    literal = (pack, terms, chunk, chunk_own, size, size_own)
    nodes, depth, channels, channels_own, lanes_size, rows = _constants(literal)

    def generate(context, builder, signature, args):
        o = Emitter(context, builder, scratch)
        tile, factors, target = o.pointers([scratch, own, out], [args[0], args[1], args[4]])
        group_, count_ = args[2:4]
        row = lanes_size * nodes
        rows_out = rows + (depth == 1)
        height = next(h for h in (16, 8, 4, 2, 1) if h * depth <= machine()[1] and rows % h == 0)

        def add_up(blocks, g, c, height, column, ones):
            sums = [o.variables(depth) for _ in range(height)]
            with o.loop(blocks) as (block, _):
                base = o.add(o.mul(block, depth * channels * nodes), o.mul(g, row), column)
                for h in range(height):
                    place = o.add(o.mul(g, rows), c, h)
                    place = o.add(o.mul(block, channels_own * nodes), o.mul(place, nodes))
                    f = o.number(1.0) if ones else o.splat(factors, place, nodes)
                    for t in range(depth):
                        u = o.load(tile, o.add(base, t * channels * nodes))
                        o.accumulate(f, u, sums[h][t])
            for h in range(height):
                for t in range(depth):
                    at = o.add(o.mul(o.add(group_, g), depth), t)
                    at = o.add(o.mul(o.add(o.mul(at, rows_out), c, h), row), column)
                    total = builder.fadd(o.load(target, at), builder.load(sums[h][t]))
                    o.store(total, target, at)

        blocks = o.ceil_div(count_, nodes)
        with o.loop(channels // lanes_size) as (g, _), o.loop(row // o.lanes) as (part, _):
            column = o.mul(part, o.lanes)
            with o.loop(rows // height) as (part_of_rows, _):
                add_up(blocks, g, o.mul(part_of_rows, height), height, column, False)
            if depth == 1:
                add_up(blocks, g, o.constant(rows), 1, column, True)
        return context.get_dummy_value()

    return types.void(scratch, own, group, count, out, *literal), generate


def _constants(arguments):
    return [argument.literal_value for argument in arguments]


def _node(o, first, count, local):
    """The node behind a place of the tile, and whether there is one."""
    inside = o.builder.icmp_signed("<", local, count)
    return o.builder.select(inside, o.add(first, local), first), inside


def _row(o, pointer, at, width, inside):
    """A node's registers, zero where there is no node."""
    rows = [o.load(pointer, o.add(at, v * o.lanes)) for v in range(width)]
    return [o.builder.select(inside, row, o.zero) for row in rows]
