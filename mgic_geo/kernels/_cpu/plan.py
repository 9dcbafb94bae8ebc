"""Programs with their addresses, ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels._cpu.interpreter import COUNTERS, Field, interpret
from mgic_geo.kernels._cpu.placement import ARENA, INPUT, OUTPUT, SECOND
from mgic_geo.kernels._workers import run_all

# Has the type of tables.
_ORDER = np.zeros(1, np.int32)


@dataclass
class Plan:
    """Steps in which only the addresses are open; made by :class:`ProgramBuilder`.

    Args:
        steps: Rows of numbers, see :mod:`~mgic_geo.kernels._cpu.interpreter`.
        where: Step and field of each argument.
        shape: Of the result.
        dtype: Of all numbers.
        size: Bytes of memory for what lies between input and result.
        zeros: As many as the widest pixel has channels.
        threads: How many threads run it.
        tables: Index tables whose addresses are in ``steps``.
    """

    steps: Any
    where: list[tuple[int, Field]]
    shape: tuple[int, ...]
    dtype: torch.dtype
    size: int
    zeros: Any
    threads: int
    tables: list[Any]

    def bind(self, arguments: Sequence[Tensor]) -> Any:
        """Steps with the addresses of contiguous tensors, which must outlive them."""
        steps = self.steps.copy()
        for tensor, place in zip(arguments, self.where, strict=True):
            steps[place] = tensor.data_ptr()
        return steps

    def run(self, steps: Any, x: Tensor, second: Tensor | None = None) -> Tensor:
        """Runs bound steps.

        Args:
            steps: From :meth:`bind`.
            x: The input, channels last.
            second: The second input, likewise.
        """
        y = torch.empty(
            self.shape, dtype=self.dtype, device="cpu", memory_format=torch.channels_last
        )  # fmt: skip
        arena = _take_arena(self.size)
        bases = np.zeros(4, np.int64)
        bases[INPUT], bases[OUTPUT], bases[ARENA] = x.data_ptr(), y.data_ptr(), arena.data_ptr()
        if second is not None:
            bases[SECOND] = second.data_ptr()
        counters = np.zeros(len(self.steps) * COUNTERS, np.int64)
        task = (steps, counters, bases, self.zeros, _ORDER)
        run_all(interpret, [task] * self.threads, self.threads)
        if 0 < self.size <= _KEPT:
            _arenas.append(arena)
        return y


# Memory of runs that have ended, which the next ones take: fresh pages cost more than many steps.
_arenas: list[Tensor] = []
# Bytes above which it is given back.
_KEPT = 2**26


def _take_arena(size: int) -> Tensor:
    """Memory that nobody else uses, as much as asked for or more."""
    if 0 < size <= _KEPT:
        try:
            arena = _arenas.pop()
        except IndexError:  # the first run, or others are under way
            pass
        else:
            if arena.numel() >= size:
                return arena
    return torch.empty(size, dtype=torch.uint8, device="cpu")


class Program:
    """A plan with its tensors, for many runs.

    Args:
        plan: The steps.
        arguments: Contiguous tensors, in the order of the steps.
    """

    def __init__(self, plan: Plan, arguments: Sequence[Tensor]) -> None:
        self._plan = plan
        self._arguments = list(arguments)  # their addresses are in the steps
        self._steps = plan.bind(self._arguments)

    def __call__(self, x: Tensor) -> Tensor:
        """Runs it on an input of the plan's shape and type, stored channels last."""
        return self._plan.run(self._steps, x)
