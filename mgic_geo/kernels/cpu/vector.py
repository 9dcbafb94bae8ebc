"""Vector code for Numba kernels: what the tiles are written with.

LLVM's loop vectoriser leaves loops over 8, 16 or 32 channels half scalar. Here the vectors are
explicit: an :class:`Emitter` writes LLVM instructions on whole registers of any machine.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numba
from llvmlite import binding, ir
from numba.core import cgutils

INT = ir.IntType(64)


@functools.cache
def machine() -> tuple[int, int]:
    """Bytes of a vector register, and how many sums may stay in registers at once."""
    named = numba.config.CPU_FEATURES  # type: ignore[attr-defined]
    features = binding.get_host_cpu_features().flatten() if named is None else named
    switched_on = set(features.split(","))
    if "+avx512f" in switched_on:
        return 64, 28
    if "+avx" in switched_on:
        return 32, 12
    return 16, 28 if "+neon" in switched_on else 12


def lanes_of(itemsize: int) -> int:
    """Numbers of ``itemsize`` bytes in a register."""
    return machine()[0] // itemsize


class Emitter:
    """Writes vector instructions for one floating-point type.

    Args:
        context: Numba's target context.
        builder: Where the instructions go.
        array: Numba type of an array with the numbers' type.
    """

    def __init__(self, context: Any, builder: Any, array: Any) -> None:
        self.context = context
        self.builder = builder
        self.scalar = context.get_value_type(array.dtype)
        self.bytes = array.dtype.bitwidth // 8
        self.lanes = lanes_of(self.bytes)
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.zero = ir.Constant(self.vector, None)
        kind = f"v{self.lanes}f{array.dtype.bitwidth}"
        signature = ir.FunctionType(self.vector, [self.vector] * 3)
        self._fma = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.{kind}")

    def pointers(self, types: Sequence[Any], values: Sequence[Any]) -> list[Any]:
        """The data pointers of arrays."""
        return [
            cgutils.create_struct_proxy(ty)(self.context, self.builder, value=value).data
            for ty, value in zip(types, values)
        ]

    def columns(self, ty: Any, value: Any) -> Any:
        """Size of an array's last axis."""
        shape = cgutils.create_struct_proxy(ty)(self.context, self.builder, value=value).shape
        return self.builder.extract_value(shape, ty.ndim - 1)

    def constant(self, value: Any) -> Any:
        return ir.Constant(INT, value) if isinstance(value, int) else value

    def add(self, *terms: Any) -> Any:
        return functools.reduce(self.builder.add, map(self.constant, terms))

    def mul(self, *factors: Any) -> Any:
        return functools.reduce(self.builder.mul, map(self.constant, factors))

    def ceil_div(self, a: Any, b: int) -> Any:
        return self.builder.udiv(self.add(a, b - 1), self.constant(b))

    def loop(self, stop: Any, start: Any = 0) -> AbstractContextManager[Any]:
        """``for index in range(start, stop)``; gives ``(index, number of turns)``."""
        bounds = (self.constant(start), self.constant(stop), self.constant(1))
        return cgutils.for_range_slice(self.builder, *bounds, intp=INT)

    def index(self, pointer: Any, at: Any) -> Any:
        """Reads an int32 of an index array."""
        place = self.builder.gep(pointer, [self.constant(at)])
        return self.builder.sext(self.builder.load(place), INT)

    def load(self, pointer: Any, at: Any, count: int | None = None) -> Any:
        """``count`` numbers, by default a register full."""
        kind = ir.VectorType(self.scalar, self.lanes if count is None else count)
        return self.builder.load(self._place(pointer, at, kind), align=self.bytes)

    def store(self, value: Any, pointer: Any, at: Any) -> None:
        self.builder.store(value, self._place(pointer, at, value.type), align=self.bytes)

    def _place(self, pointer: Any, at: Any, kind: Any) -> Any:
        place = self.builder.gep(pointer, [self.constant(at)])
        return self.builder.bitcast(place, kind.as_pointer())

    def splat(self, pointer: Any, at: Any, count: int = 1) -> Any:
        """``count`` numbers over and over: ``a b a b a b a b`` for two."""
        part = self.load(pointer, at, count)
        return self._shuffle(part, part, [lane % count for lane in range(self.lanes)])

    def number(self, value: float) -> Any:
        return ir.Constant(self.vector, [float(value)] * self.lanes)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self._fma, [a, b, c])

    def variables(self, count: int) -> list[Any]:
        """Vectors to sum in, zero at first; LLVM keeps them in registers."""
        made = [cgutils.alloca_once(self.builder, self.vector) for _ in range(count)]
        for variable in made:
            self.builder.store(self.zero, variable)
        return made

    def accumulate(self, a: Any, b: Any, variable: Any) -> None:
        self.builder.store(self.fma(a, b, self.builder.load(variable)), variable)

    def relu(self, value: Any) -> Any:
        """NaN stays NaN, as in ``torch.relu``."""
        negative = self.builder.fcmp_ordered("<", value, self.zero)
        return self.builder.select(negative, self.zero, value)

    def zip(self, vectors: Sequence[Any]) -> list[Any]:
        """Interleaves: all first lanes, then all second lanes, ...; a power of two of vectors."""
        if len(vectors) == 1:
            return list(vectors)
        n = self.lanes
        order = [lane // 2 + n * (lane % 2) for lane in range(2 * n)]
        woven = []
        for a, b in zip(self.zip(vectors[0::2]), self.zip(vectors[1::2])):
            woven += [self._shuffle(a, b, order[:n]), self._shuffle(a, b, order[n:])]
        return woven

    def unzip(self, vectors: Sequence[Any]) -> list[Any]:
        """Undoes :meth:`zip`."""
        if len(vectors) == 1:
            return list(vectors)
        pairs = list(zip(vectors[0::2], vectors[1::2]))
        halves = [
            self.unzip([self._shuffle(a, b, range(start, 2 * self.lanes, 2)) for a, b in pairs])
            for start in (0, 1)
        ]
        return [vector for pair in zip(*halves) for vector in pair]

    def _shuffle(self, a: Any, b: Any, order: Sequence[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), list(order))
        return self.builder.shuffle_vector(a, b, mask)
