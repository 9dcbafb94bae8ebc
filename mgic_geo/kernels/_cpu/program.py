"""Chains of image operators, written down for the interpreter step by step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels._cpu.conv_tile import BIAS, HARDSWISH, RELU, RELU6, RESIDUAL
from mgic_geo.kernels._cpu.interpreter import (
    FIELDS,
    MULTIPLIERS,
    PIXELS_1,
    PIXELS_2,
    PIXELS_3,
    PIXELS_DEPTHWISE,
    Field,
    Kind,
)
from mgic_geo.kernels._cpu.placement import INPUT, OUTPUT, SECOND, Step, Value, place_values
from mgic_geo.kernels._cpu.plan import Plan
from mgic_geo.kernels._cpu.taps import taps_of
from mgic_geo.kernels._cpu.vector import lanes_of

_ACTIVATIONS = {"none": 0, "relu": RELU, "hardswish": HARDSWISH, "relu6": RELU6}
# Pixels for which a group's weights are fetched together.
_PIXELS = 48
# Products of a task: to take one costs as much as some hundreds.
_PRODUCTS = 100_000
# Numbers of a task of a step that only goes through memory.
_NUMBERS = 8_192
# Tasks a thread and step.
_TASKS = 4


class Argument(NamedTuple):
    """A tensor whose address stands in a step."""

    tensor: Tensor
    step: int
    field: Field


@dataclass
class ProgramBuilder:
    """Writes down image operators, one after the other.

    Args:
        shape: Of the input, ``(B, C, H, W)``.
        dtype: Of all numbers, float32 or float64.
        threads: How many threads will run it.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    threads: int
    steps: list[Step] = field(default_factory=list)
    tables: list[Any] = field(default_factory=list)
    arguments: list[Argument] = field(default_factory=list)
    values: int = OUTPUT  # the first number that is no input's

    @property
    def input(self) -> Value:
        return Value(self, INPUT, tuple(self.shape))

    def second_input(self, shape: Sequence[int]) -> Value:
        """Another image from outside."""
        return Value(self, SECOND, tuple(shape))

    def grouped_conv(
        self, x: Value, weight: Tensor, bias: Tensor | None, residual: Value | None, out: int,
        stride: int, dilation: int, act: str,
    ) -> Value:  # fmt: skip
        """See :func:`grouped_conv_forward`."""
        groups, taps, size, filled = weight.shape
        _check(x.shape[1] == groups * size, f"{x.shape[1]} channels for {groups} groups of {size}")
        registers = -(-out // lanes_of(self.dtype.itemsize))
        columns = 3 if registers == 3 else min(registers, 2)
        pixels = {1: PIXELS_1, 2: PIXELS_2, 3: PIXELS_3}[columns]
        shape, numbers = self._image(x, groups * out, taps, stride, dilation)
        images, count = shape[0], shape[2] * shape[3]
        tasks = self._tasks(images * count * groups * out * taps * size, _PRODUCTS)
        block, chunk = -(-_PIXELS // pixels) * pixels, groups
        if images * -(-count // block) < tasks and groups > 1:
            chunk = max(groups * images * -(-count // block) // tasks, 1)
        if images * -(-count // block) * -(-groups // chunk) < tasks:
            block = max(count * images * groups // (chunk * tasks * pixels), 1) * pixels
        numbers |= {
            Field.KIND: (Kind.GROUPED_1, Kind.GROUPED_2, Kind.GROUPED_3)[columns - 1],
            Field.GROUPS: groups,
            Field.SIZE: size,
            Field.OUT: out,
            Field.FILLED: filled,
            Field.BLOCK: block,
            Field.CHUNK: chunk,
            Field.TASKS: images * -(-count // block) * -(-groups // chunk),
        }
        return self._conv(x, weight, bias, residual, act, shape, numbers)

    def depthwise_conv(
        self, x: Value, weight: Tensor, bias: Tensor | None, residual: Value | None, out: int,
        stride: int, dilation: int, act: str,
    ) -> Value:  # fmt: skip
        """See :func:`depthwise_conv_forward`."""
        taps, filled = weight.shape
        kinds = (Kind.DEPTHWISE_1, Kind.DEPTHWISE_2, Kind.DEPTHWISE_4)
        channels = x.shape[1] * out
        lanes = lanes_of(self.dtype.itemsize)
        fits = filled == -(-channels // lanes) * lanes
        _check(fits, f"{x.shape[1]} channels for filters of about {filled // out}")
        shape, numbers = self._image(x, channels, taps, stride, dilation)
        images, count = shape[0], shape[2] * shape[3]
        # a product is read for itself alone here, and takes four times as long
        tasks = self._tasks(4 * images * count * channels * taps, _PRODUCTS)
        block = max(images * count // (tasks * PIXELS_DEPTHWISE), 1) * PIXELS_DEPTHWISE
        numbers |= {
            Field.KIND: kinds[MULTIPLIERS.index(out)],
            Field.SIZE: x.shape[1],
            Field.OUT: channels,
            Field.FILLED: filled,
            Field.BLOCK: block,
            Field.TASKS: images * -(-count // block),
        }
        return self._conv(x, weight, bias, residual, act, shape, numbers)

    def subtract(self, x: Value, y: Value) -> Value:
        """``x - y``."""
        size = math.prod(x.shape)
        block = max(-(-size // self._tasks(size, _NUMBERS)), 1)
        numbers = {
            Field.KIND: Kind.SUBTRACT,
            Field.IMAGES: x.shape[0],
            Field.PIXELS: x.shape[2] * x.shape[3],
            Field.OUT: x.shape[1],
            Field.BLOCK: block,
            Field.TASKS: -(-size // block),
        }
        return self._add(numbers, {Field.X: x, Field.REST: y}, x.shape)

    def squeeze_excite(self, x: Value, maps: Sequence[Tensor]) -> Value:
        """See :func:`squeeze_excite_forward`."""
        images, channels, height, width = x.shape
        groups, _, inner = maps[0].shape
        count, tasks = height * width, self._tasks(math.prod(x.shape), _NUMBERS)
        share = max(tasks // max(images, 1), 1)  # tasks an image
        chunk = min(-(-channels // (16 * share)) * 16, channels)
        shared = {
            Field.IMAGES: images,
            Field.PIXELS: count,
            Field.OUT: channels,
            Field.GROUPS: groups,
            Field.FILLED: inner,
            Field.CHUNK: chunk,
        }
        means = {Field.KIND: Kind.MEAN, Field.TASKS: images * -(-channels // chunk)}
        size = maps[0].size(1)
        _check(channels == groups * size, f"{channels} channels for {groups} groups of {size}")
        mean = self._add({**shared, **means}, {Field.X: x}, (images, channels, 1, 1))
        gates = {
            Field.KIND: Kind.GATE,
            Field.TASKS: images * groups,
        }
        for m, place in zip(maps, (Field.WEIGHT, Field.BIAS, Field.WEIGHT_2, Field.BIAS_2)):
            self._argue(m, place)
        room = (images, channels + groups * inner, 1, 1)
        gate = self._add({**shared, **gates}, {Field.X: mean}, room)
        block = max(-(-count // share), 1)
        scales = {
            Field.KIND: Kind.SCALE,
            Field.BLOCK: block,
            Field.TASKS: images * -(-count // block),
        }
        return self._add({**shared, **scales}, {Field.X: x, Field.REST: gate}, x.shape)

    def build(self, output: Value) -> Plan:
        """The plan that ends with ``output``, a step's value."""
        places, size = place_values(self.steps, output, self.dtype.itemsize)
        places |= {INPUT: (INPUT, 0), SECOND: (SECOND, 0), output.number: (OUTPUT, 0)}
        table = np.zeros((len(self.steps), FIELDS), np.int64)
        widest = 1
        for row, step in zip(table, self.steps):
            for name, number in step.numbers.items():
                row[name] = number
            for name, value in step.operands.items():
                row[name : name + 2] = places[value.number]
                widest = max(widest, value.shape[1])
        zeros = torch.zeros(widest, dtype=self.dtype, device="cpu").numpy()
        where = [(a.step, a.field) for a in self.arguments]
        return Plan(
            table, where, output.shape, self.dtype, size, zeros, self.threads, self.tables
        )  # fmt: skip

    def _argue(self, tensor: Tensor, place: Field) -> None:
        """Makes ``tensor`` an argument of the next step."""
        self.arguments.append(Argument(tensor, len(self.steps), place))

    def _image(
        self, x: Value, channels: int, taps: int, stride: int, dilation: int
    ) -> tuple[tuple[int, ...], dict[Field, int]]:
        """Shape of a convolution's result, and what all convolutions have in their steps."""
        images, _, height, width = x.shape
        table = taps_of(height, width, math.isqrt(taps), stride, dilation)
        self.tables.append(table)
        shape = (images, channels, -(-height // stride), -(-width // stride))
        return shape, {
            Field.IMAGES: images,
            Field.PIXELS_IN: height * width,
            Field.PIXELS: shape[2] * shape[3],
            Field.TAPS: taps,
            Field.TABLE: table.ctypes.data,
        }

    def _conv(
        self, x: Value, weight: Tensor, bias: Tensor | None, residual: Value | None, act: str,
        shape: tuple[int, ...], numbers: dict[Field, int],
    ) -> Value:  # fmt: skip
        operands = {Field.X: x}
        numbers[Field.EPILOGUE] = _ACTIVATIONS[act]
        self._argue(weight, Field.WEIGHT)
        if bias is not None:
            self._argue(bias, Field.BIAS)
            numbers[Field.EPILOGUE] |= BIAS
        if residual is not None:
            _check(residual.shape == shape, f"a residual of {residual.shape} for {shape}")
            operands[Field.REST] = residual
            numbers[Field.EPILOGUE] |= RESIDUAL
        return self._add(numbers, operands, shape)

    def _tasks(self, work: int, least: int) -> int:
        """In how many tasks some work is shared."""
        return 1 if self.threads == 1 else min(max(work // least, 1), _TASKS * self.threads)

    def _add(
        self, numbers: dict[Field, int], operands: dict[Field, Value], shape: tuple[int, ...]
    ) -> Value:
        value = Value(self, self.values, tuple(shape))
        self.values += 1
        self.steps.append(Step(numbers, {**operands, Field.Y: value}))
        return value


def _check(fits: bool, what: str) -> None:
    if not fits:
        raise ValueError(f"{what}: it is an image of another network")
