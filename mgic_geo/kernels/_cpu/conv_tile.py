"""The inner loops of grouped convolutions: some pixels of one group, straight from the image."""

# mypy: disable-error-code="no-untyped-def, has-type, misc"

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mgic_geo.kernels._cpu.vector import Emitter

BIAS, RESIDUAL, RELU, HARDSWISH, RELU6 = 1, 2, 4, 8, 16
_UNROLL = 4


@intrinsic(prefer_literal=True)
def conv_tile(
    typing, x, zeros, rows, place, origin, weights, bias, residual, y, group, first, count,
    size, out, epilogue, pixels, columns,
):  # fmt: skip
    """y[first + i] = bias + sum over taps of weights times x[origin + rows[tap, place + i]].

    ``pixels`` pixels at once, of which the first ``count`` exist, and ``columns`` registers of
    outputs; these two are constants of the generated code. ``rows`` has a row a tap; a number below
    0 is a pixel of zeros. ``weights[group, tap, c, o]`` and ``bias[group, o]`` are filled up to
    whole registers of outputs, of which ``out`` exist. Then as ``epilogue`` says: plus
    ``residual``, activation.
    """
    height, widest = pixels.literal_value, columns.literal_value

    def generate(context, builder, signature, args):
        o = Emitter(context, builder, x)
        given = (0, 1, 2, 5, 6, 7, 8)
        image, nothing, table, weight, shifts, rest, target = o.pointers(
            [signature.args[i] for i in given], [args[i] for i in given]
        )
        place_, origin_ = args[3:5]
        group_, first_, count_, inputs, outputs, after = args[9:15]
        stride, stride_out = o.columns(x, args[0]), o.columns(y, args[8])
        steps, taps = o.columns(rows, args[2]), _height(o, rows, args[2])
        registers = o.ceil_div(outputs, o.lanes)
        row = o.mul(registers, o.lanes)

        channel = o.mul(group_, inputs)

        def multiply(column, width):
            sums = [o.variables(width) for _ in range(height)]
            with o.loop(taps) as (t, _):
                pointers = []
                for i in range(height):
                    at = o.index(table, o.add(o.mul(t, steps), place_, i))
                    pointers.append(_pixel(o, image, nothing, at, origin_, stride, channel))
                base = o.mul(o.add(o.mul(group_, taps), t), inputs, row)

                def product(c):
                    at = o.add(base, o.mul(c, row), column)
                    w = [o.load(weight, o.add(at, v * o.lanes)) for v in range(width)]
                    for i in range(height):
                        f = o.splat(pointers[i], c)
                        for v in range(width):
                            o.accumulate(f, w[v], sums[i][v])

                whole = builder.udiv(inputs, o.constant(_UNROLL))
                with o.loop(whole) as (part, _):
                    for u in range(_UNROLL):
                        product(o.add(o.mul(part, _UNROLL), u))
                with o.loop(inputs, o.mul(whole, _UNROLL)) as (c, _):
                    product(c)
            return sums

        def finish(sums, column, width):
            at = o.add(o.mul(first_, stride_out), o.mul(group_, outputs), column)
            shift = o.add(o.mul(group_, row), column)
            ends(sums, count_, at, stride_out, shift, builder.sub(outputs, column))

        ends = _epilogue(o, shifts, rest, target, after)
        whole = builder.udiv(registers, o.constant(widest))
        with o.loop(whole) as (part, _):
            column = o.mul(part, widest * o.lanes)
            finish(multiply(column, widest), column, widest)
        if widest > 1:
            with o.loop(registers, o.mul(whole, widest)) as (part, _):
                column = o.mul(part, o.lanes)
                finish(multiply(column, 1), column, 1)
        return context.get_dummy_value()

    return types.void(
        x, zeros, rows, place, origin, weights, bias, residual, y, group, first, count,
        size, out, epilogue, pixels, columns,
    ), generate  # fmt: skip


def _pixel(o, image, nothing, at, origin, stride, channel):
    """Pointer to a pixel's channels from ``channel`` on; to zeros where ``at`` is below 0."""
    inside = o.builder.icmp_signed(">=", at, o.constant(0))
    start = o.add(o.mul(o.add(at, origin), stride), channel)
    # zeros are as many as a group's channels, all alike
    return o.builder.select(inside, o.builder.gep(image, [start]), nothing)


@intrinsic(prefer_literal=True)
def depthwise_tile(
    typing, x, zeros, rows, place, origin, weights, bias, residual, y, first, count, epilogue,
    pixels, columns, multiplier,
):  # fmt: skip
    """As :func:`conv_tile` with a filter a channel of the result, ``weights[tap, c]``.

    Channel c reads channel c // ``multiplier``, a divisor of a register's lanes. Weights and
    ``bias`` are filled up to whole registers of channels.
    """
    height, widest, times = (v.literal_value for v in (pixels, columns, multiplier))

    def generate(context, builder, signature, args):
        o = Emitter(context, builder, x)
        given = (0, 1, 2, 5, 6, 7, 8)
        image, nothing, table, weight, shifts, rest, target = o.pointers(
            [signature.args[i] for i in given], [args[i] for i in given]
        )
        place_, origin_ = args[3:5]
        first_, count_, after = args[9:12]
        stride, stride_out = o.columns(x, args[0]), o.columns(y, args[8])
        steps = o.columns(rows, args[2])
        taps, row = _height(o, rows, args[2]), o.columns(weights, args[5])
        ends = _epilogue(o, shifts, rest, target, after)
        if times > o.lanes:  # a register has not that many numbers; nobody comes here
            return context.get_dummy_value()

        def filter_(column, width, left=None):
            """``width`` registers from ``column`` on; of one alone only ``left`` may exist."""
            sums = [o.variables(width) for _ in range(height)]
            with o.loop(taps) as (t, _):
                base = o.add(o.mul(t, row), column)
                w = [o.load(weight, o.add(base, v * o.lanes)) for v in range(width)]
                for i in range(height):
                    at = o.index(table, o.add(o.mul(t, steps), place_, i))
                    channel = builder.udiv(column, o.constant(times))
                    pixel = _pixel(o, image, nothing, at, origin_, stride, channel)
                    for v in range(width):
                        value = o.repeat(pixel, v * o.lanes // times, times, left)
                        o.accumulate(value, w[v], sums[i][v])
            at = o.add(o.mul(first_, stride_out), column)
            ends(sums, count_, at, stride_out, column, builder.sub(stride_out, column))

        whole = builder.udiv(stride_out, o.constant(widest * o.lanes))
        with o.loop(whole) as (part, _):
            filter_(o.mul(part, widest * o.lanes), widest)
        registers = o.ceil_div(stride_out, o.lanes)
        with o.loop(registers, o.mul(whole, widest)) as (part, _):
            column = o.mul(part, o.lanes)
            filter_(column, 1, builder.sub(stride_out, column))
        return context.get_dummy_value()

    return types.void(
        x, zeros, rows, place, origin, weights, bias, residual, y, first, count, epilogue,
        pixels, columns, multiplier,
    ), generate  # fmt: skip


def _epilogue(o, shifts, rest, target, after):
    """What happens to sums: + bias, + residual, activation, then they are stored."""
    builder = o.builder

    def change(variables, how):
        for variable in variables:
            builder.store(how(builder.load(variable)), variable)

    def activate(variables):
        with _asked(o, after, RELU):
            change(variables, o.relu)
        with _asked(o, after, HARDSWISH):
            change(variables, lambda value: _hardswish(o, value))
        with _asked(o, after, RELU6):
            change(variables, lambda value: _relu6(o, value))

    def ends(sums, count, at, stride, shift, lanes):
        """``sums[pixel][register]``; of the pixels the first ``count`` exist, of the row's numbers
        ``lanes``; the first pixel's row begins at ``at``, its bias at ``shift``."""
        height, width = len(sums), len(sums[0])
        with _asked(o, after, BIAS):
            for v in range(width):
                more = o.load(shifts, o.add(shift, v * o.lanes))
                column = [sums[i][v] for i in range(height)]
                change(column, lambda value, more=more: builder.fadd(value, more))
        cells = []
        for i in range(height):
            start = o.add(at, o.mul(stride, i))
            cells += [(i, v, o.add(start, v * o.lanes)) for v in range(width)]
        # One question for all: most tiles lie inside of the image and fill their registers.
        pixels = builder.icmp_signed(">=", count, o.constant(height))
        filled = builder.icmp_signed(">=", lanes, o.constant(width * o.lanes))
        with builder.if_else(builder.and_(pixels, filled)) as (whole, part):
            with whole:
                with _asked(o, after, RESIDUAL):
                    for i, v, place in cells:
                        total = builder.fadd(builder.load(sums[i][v]), o.load(rest, place))
                        builder.store(total, sums[i][v])
                activate([sum_ for row in sums for sum_ in row])
                for i, v, place in cells:
                    o.store(builder.load(sums[i][v]), target, place)
            with part:
                masks = [o.mask(builder.sub(lanes, o.constant(v * o.lanes))) for v in range(width)]
                for i, v, place in cells:
                    with builder.if_then(builder.icmp_signed("<", o.constant(i), count)):
                        with _asked(o, after, RESIDUAL):
                            more = o.load_part(rest, place, masks[v])
                            change([sums[i][v]], lambda value, more=more: builder.fadd(value, more))
                        activate([sums[i][v]])
                        o.store_part(builder.load(sums[i][v]), target, place, masks[v])

    return ends


def _height(o, ty, value):
    shape = cgutils.create_struct_proxy(ty)(o.context, o.builder, value=value).shape
    return o.builder.extract_value(shape, 0)


def _asked(o, after, bit):
    return o.builder.if_then(
        o.builder.icmp_signed("!=", o.builder.and_(after, o.constant(bit)), o.constant(0))
    )


def _hardswish(o, value):
    """x clip(x + 3, 0, 6) / 6; NaN stays NaN."""
    gate = _relu6(o, o.builder.fadd(value, o.number(3.0)))
    return o.builder.fmul(o.builder.fmul(value, gate), o.number(1.0 / 6.0))


def _relu6(o, value):
    """clip(x, 0, 6); NaN stays NaN."""
    value = o.relu(value)
    over = o.builder.fcmp_ordered(">", value, o.number(6.0))
    return o.builder.select(over, o.number(6.0), value)
