"""Runs the steps of a program of image operators on all threads, without a call between them."""

# mypy: disable-error-code="no-untyped-def, call-arg, unreachable, var-annotated"

from __future__ import annotations

from enum import IntEnum

import numba
from numba import carray, types
from numba.extending import intrinsic

from mgic_geo.kernels._cpu.atomic import add_atomically, wait_for
from mgic_geo.kernels._cpu.conv_tile import conv_tile, depthwise_tile
from mgic_geo.kernels._cpu.squeeze_excite import gate_channels, mean_pixels, scale_pixels
from mgic_geo.kernels._cpu.vector import machine

# Sums that stay in registers: pixels times registers of outputs.
ROOM = machine()[1]
PIXELS_1, PIXELS_2, PIXELS_3, PIXELS_DEPTHWISE = ROOM, ROOM // 2, ROOM // 3, ROOM // 4
MULTIPLIERS = (1, 2, 4)


class Kind(IntEnum):
    """What a step does."""

    GROUPED_1 = 0  # a grouped convolution, 1, 2 or 3 registers of outputs at once
    GROUPED_2 = 1
    GROUPED_3 = 2
    DEPTHWISE_1 = 3  # filters of their own for each channel, 1, 2 or 4 of them
    DEPTHWISE_2 = 4
    DEPTHWISE_4 = 5
    SUBTRACT = 6
    MEAN = 7
    GATE = 8
    SCALE = 9


class Field(IntEnum):
    """The numbers of a step. Operands have an index into the base addresses and an offset."""

    KIND = 0
    TASKS = 1
    X = 2
    REST = 4  # residual, subtrahend or gates
    Y = 6
    WEIGHT = 8  # addresses
    BIAS = 9
    WEIGHT_2 = 10
    BIAS_2 = 11
    TABLE = 12
    IMAGES = 13
    PIXELS_IN = 14
    PIXELS = 15  # of the result
    TAPS = 16
    GROUPS = 17
    SIZE = 18  # inputs of a group
    OUT = 19  # outputs of a group
    FILLED = 20  # outputs as stored; of a gate's group, the numbers between its two maps
    BLOCK = 21  # pixels, or numbers, of a task
    CHUNK = 22  # groups, or channels, of a task
    EPILOGUE = 23


FIELDS = len(Field) + 3  # three of them are pairs
# Counters of a step, apart from those of the next one.
COUNTERS = 16

# Plain numbers, which compiled code takes as constants.
_KIND = int(Field.KIND)
_TASKS = int(Field.TASKS)
_X = int(Field.X)
_REST = int(Field.REST)
_Y = int(Field.Y)
_WEIGHT = int(Field.WEIGHT)
_BIAS = int(Field.BIAS)
_WEIGHT_2 = int(Field.WEIGHT_2)
_BIAS_2 = int(Field.BIAS_2)
_TABLE = int(Field.TABLE)
_IMAGES = int(Field.IMAGES)
_PIXELS_IN = int(Field.PIXELS_IN)
_PIXELS = int(Field.PIXELS)
_TAPS = int(Field.TAPS)
_GROUPS = int(Field.GROUPS)
_SIZE = int(Field.SIZE)
_OUT = int(Field.OUT)
_FILLED = int(Field.FILLED)
_BLOCK = int(Field.BLOCK)
_CHUNK = int(Field.CHUNK)
_EPILOGUE = int(Field.EPILOGUE)
_GROUPED_1 = int(Kind.GROUPED_1)
_GROUPED_2 = int(Kind.GROUPED_2)
_GROUPED_3 = int(Kind.GROUPED_3)
_DEPTHWISE_1 = int(Kind.DEPTHWISE_1)
_DEPTHWISE_2 = int(Kind.DEPTHWISE_2)
_DEPTHWISE_4 = int(Kind.DEPTHWISE_4)
_SUBTRACT = int(Kind.SUBTRACT)
_MEAN = int(Kind.MEAN)
_GATE = int(Kind.GATE)


@intrinsic
def _pointer(typing, address, kind):
    """An address as a pointer to numbers of the type of an array."""
    pointer = types.CPointer(kind.dtype)

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64, kind), generate


@numba.njit(cache=True, nogil=True, error_model="numpy")
def interpret(steps, counters, bases, zeros, order):
    """Runs all steps, together with any number of threads that do the same.

    Threads take a step's tasks as they come, and go on to the next step once all are done: even
    one alone comes to the end.

    Args:
        steps: Rows of numbers as :class:`Field` says.
        counters: ``COUNTERS`` a step, zero: tasks begun, tasks done.
        bases: Addresses of memory.
        zeros: As many as the channels of a pixel; their type is that of all numbers.
        order: Anything of the tables' type.
    """
    for i in range(len(steps)):
        step, begun = steps[i], i * COUNTERS
        tasks = step[_TASKS]
        task = add_atomically(counters, begun, 1)
        while task < tasks:
            if step[_KIND] <= _GROUPED_3:
                _grouped(step, task, bases, zeros, order)
            elif step[_KIND] <= _DEPTHWISE_4:
                _depthwise(step, task, bases, zeros, order)
            elif step[_KIND] == _SUBTRACT:
                _subtract(step, task, bases, zeros)
            else:
                _squeeze_excite(step, task, bases, zeros)
            add_atomically(counters, begun + 1, 1)
            task = add_atomically(counters, begun, 1)
        wait_for(counters, begun + 1, tasks)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _operand(step, field, bases, zeros, shape):
    return carray(_pointer(bases[step[field]] + step[field + 1], zeros), shape)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _table(step, order):
    """The pixel under each tap, some more at the end of each row."""
    return carray(_pointer(step[_TABLE], order), (step[_TAPS], step[_PIXELS] + ROOM))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _grouped(step, task, bases, zeros, order):
    images, groups, size, out = step[_IMAGES], step[_GROUPS], step[_SIZE], step[_OUT]
    count, pixels_in, filled = step[_PIXELS], step[_PIXELS_IN], step[_FILLED]
    x = _operand(step, _X, bases, zeros, (images * pixels_in, groups * size))
    rest = _operand(step, _REST, bases, zeros, (images * count, groups * out))
    y = _operand(step, _Y, bases, zeros, (images * count, groups * out))
    weights = carray(_pointer(step[_WEIGHT], zeros), (groups, step[_TAPS], size, filled))
    shifts = carray(_pointer(step[_BIAS], zeros), (groups * filled,))
    table, epilogue, kind = _table(step, order), step[_EPILOGUE], step[_KIND]
    block, chunk = step[_BLOCK], step[_CHUNK]
    blocks, chunks = (count + block - 1) // block, (groups + chunk - 1) // chunk
    b, c = task // chunks, task % chunks
    image, first = b // blocks, b % blocks * block
    origin, place, last = image * pixels_in, image * count, min(first + block, count)
    for g in range(c * chunk, min((c + 1) * chunk, groups)):
        if kind == _GROUPED_1:
            for i in range(first, last, PIXELS_1):
                conv_tile(
                    x, zeros, table, i, origin, weights, shifts, rest, y, g, place + i,
                    min(PIXELS_1, last - i), size, out, epilogue, PIXELS_1, 1,
                )  # fmt: skip
        elif kind == _GROUPED_2:
            for i in range(first, last, PIXELS_2):
                conv_tile(
                    x, zeros, table, i, origin, weights, shifts, rest, y, g, place + i,
                    min(PIXELS_2, last - i), size, out, epilogue, PIXELS_2, 2,
                )  # fmt: skip
        else:
            for i in range(first, last, PIXELS_3):
                conv_tile(
                    x, zeros, table, i, origin, weights, shifts, rest, y, g, place + i,
                    min(PIXELS_3, last - i), size, out, epilogue, PIXELS_3, 3,
                )  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _depthwise(step, task, bases, zeros, order):
    images, channels_in, channels = step[_IMAGES], step[_SIZE], step[_OUT]
    count, pixels_in, filled = step[_PIXELS], step[_PIXELS_IN], step[_FILLED]
    x = _operand(step, _X, bases, zeros, (images * pixels_in, channels_in))
    rest = _operand(step, _REST, bases, zeros, (images * count, channels))
    y = _operand(step, _Y, bases, zeros, (images * count, channels))
    weights = carray(_pointer(step[_WEIGHT], zeros), (step[_TAPS], filled))
    shifts = carray(_pointer(step[_BIAS], zeros), (filled,))
    table, epilogue, kind = _table(step, order), step[_EPILOGUE], step[_KIND]
    block = step[_BLOCK]
    blocks = (count + block - 1) // block
    image, first = task // blocks, task % blocks * block
    origin, place, last = image * pixels_in, image * count, min(first + block, count)
    for i in range(first, last, PIXELS_DEPTHWISE):
        some = min(PIXELS_DEPTHWISE, last - i)
        if kind == _DEPTHWISE_1:
            depthwise_tile(
                x, zeros, table, i, origin, weights, shifts, rest, y, place + i, some, epilogue,
                PIXELS_DEPTHWISE, 4, 1,
            )  # fmt: skip
        elif kind == _DEPTHWISE_2:
            depthwise_tile(
                x, zeros, table, i, origin, weights, shifts, rest, y, place + i, some, epilogue,
                PIXELS_DEPTHWISE, 4, 2,
            )  # fmt: skip
        else:
            depthwise_tile(
                x, zeros, table, i, origin, weights, shifts, rest, y, place + i, some, epilogue,
                PIXELS_DEPTHWISE, 4, 4,
            )  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _subtract(step, task, bases, zeros):
    count = step[_IMAGES] * step[_PIXELS] * step[_OUT]
    x = _operand(step, _X, bases, zeros, (count,))
    rest = _operand(step, _REST, bases, zeros, (count,))
    y = _operand(step, _Y, bases, zeros, (count,))
    for i in range(task * step[_BLOCK], min((task + 1) * step[_BLOCK], count)):
        y[i] = x[i] - rest[i]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _squeeze_excite(step, task, bases, zeros):
    images, count, channels = step[_IMAGES], step[_PIXELS], step[_OUT]
    groups, inner, block, chunk = step[_GROUPS], step[_FILLED], step[_BLOCK], step[_CHUNK]
    if step[_KIND] == _MEAN:
        x = _operand(step, _X, bases, zeros, (images, count, channels))
        mean = _operand(step, _Y, bases, zeros, (images, channels))
        chunks = (channels + chunk - 1) // chunk
        first = task % chunks * chunk
        mean_pixels(x, task // chunks, first, min(first + chunk, channels), mean)
    elif step[_KIND] == _GATE:
        mean = _operand(step, _X, bases, zeros, (images, channels))
        gate = _operand(step, _Y, bases, zeros, (images, channels + groups * inner))
        size = channels // groups
        reduce = carray(_pointer(step[_WEIGHT], zeros), (groups, size, inner))
        reduce_bias = carray(_pointer(step[_BIAS], zeros), (groups, inner))
        expand = carray(_pointer(step[_WEIGHT_2], zeros), (groups, inner, size))
        expand_bias = carray(_pointer(step[_BIAS_2], zeros), (groups, size))
        b, g = task // groups, task % groups
        gate_channels(mean, b, g, reduce, reduce_bias, expand, expand_bias, gate)
    else:
        x = _operand(step, _X, bases, zeros, (images, count, channels))
        gate = _operand(step, _REST, bases, zeros, (images, channels + groups * inner))
        y = _operand(step, _Y, bases, zeros, (images, count, channels))
        blocks = (count + block - 1) // block
        first = task % blocks * block
        scale_pixels(x, task // blocks, first, min(first + block, count), gate, y)
