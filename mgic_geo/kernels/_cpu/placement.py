"""Where the values of a program lie in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mgic_geo.kernels._cpu.interpreter import Field, Kind

if TYPE_CHECKING:
    from mgic_geo.kernels._cpu.program import ProgramBuilder

# Values from outside have numbers of their own, which are also the places of their addresses.
INPUT, SECOND, OUTPUT, ARENA = range(4)
# Where memory begins: a cache line.
_ALIGN = 64


@dataclass(frozen=True)
class Value:
    """What a step gives, stored channels last.

    Args:
        builder: Where it was written down.
        number: Which one it is.
        shape: ``(B, C, H, W)``.
    """

    builder: ProgramBuilder
    number: int
    shape: tuple[int, ...]

    def __sub__(self, other: Value) -> Value:
        return self.builder.subtract(self, other)


@dataclass
class Step:
    """A step whose operands have no addresses yet."""

    numbers: dict[Field, int]
    operands: dict[Field, Value]


def place_values(
    steps: Sequence[Step], output: Value, itemsize: int
) -> tuple[dict[int, tuple[int, int]], int]:
    """Where each value lies, the first gap that fits while it lives, and the size of it all."""
    last = {value.number: i for i, step in enumerate(steps) for value in step.operands.values()}
    places: dict[int, tuple[int, int]] = {}
    living: dict[int, tuple[int, int]] = {}  # begin and end of values
    size = 0
    for i, step in enumerate(steps):
        value = step.operands[Field.Y]
        if value.number != output.number:
            heir = next((v for v in _replaced(step) if v in living and last[v] == i), None)
            if heir is None:
                need = -(-math.prod(value.shape) * itemsize // _ALIGN) * _ALIGN
                begin = 0
                for start, end in sorted(living.values()):
                    if begin + need <= start:
                        break
                    begin = max(begin, end)
                living[value.number] = begin, begin + need
                size = max(size, begin + need)
            else:
                living[value.number] = living.pop(heir)
            places[value.number] = ARENA, living[value.number][0]
        living = {v: room for v, room in living.items() if last[v] > i}
    return places, size


def _replaced(step: Step) -> list[int]:
    """Values of the result's shape that are read at the place of a number alone, and so may be
    written over by it."""
    fields = {
        Kind.SUBTRACT: (Field.X, Field.REST),
        Kind.SCALE: (Field.X,),
        Kind.MEAN: (),
        Kind.GATE: (),
    }
    kind, x = Kind(step.numbers[Field.KIND]), step.operands[Field.X].number
    if kind in fields:
        return [step.operands[f].number for f in fields[kind]]
    rest = step.operands.get(Field.REST)  # a convolution's residual
    return [] if rest is None or rest.number == x else [rest.number]
