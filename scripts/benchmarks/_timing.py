"""Timing of several things side by side."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
from torch.utils.benchmark import timer  # waits for the GPU where there is one

Run = Callable[[], object]
# A run that is slower than this is warm after one call.
_SLOW = 0.5


@dataclass(frozen=True)
class Timing:
    """Seconds of every repeat, in the order of the rounds."""

    times: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.times)

    @property
    def quartiles(self) -> tuple[float, float]:
        first, third = np.quantile(self.times, (0.25, 0.75))
        return float(first), float(third)

    def times_faster_than(self, other: Timing) -> float:
        """The median over the rounds of ``other / self``: what slows a whole round cancels."""
        return median(b / a for a, b in zip(self.times, other.times))


def interleave(
    runs: Mapping[str, Run],
    rounds: tuple[int, int],
    seconds: float,
    clock: Callable[[], float] = timer,
) -> dict[str, Timing | Exception]:
    """Times all runs in turn, A B C A B C ..., after a warm-up of each.

    Slow drifts of the machine (heat, neighbours) reach all of them alike.

    Args:
        runs: What is timed. One that raises is left out from then on, and its exception returned.
        rounds: Smallest and largest number of rounds.
        seconds: No round begins after this time, the smallest number of rounds aside.
        clock: Seconds since any moment.
    """
    failed: dict[str, Exception] = {}
    times: dict[str, list[float]] = {name: [] for name in runs}

    def call(name: str) -> float:
        start = clock()
        try:
            runs[name]()
        except Exception as error:  # a peer may fail in any way; the others go on
            failed[name] = error
        return clock() - start

    for name in runs:
        if call(name) < _SLOW and name not in failed:
            call(name)
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = clock()
        for done in range(rounds[1]):
            if done >= rounds[0] and clock() - start > seconds:
                break
            for name in runs:
                if name not in failed:
                    times[name].append(call(name))
    finally:
        if collecting:
            gc.enable()
    return {name: failed[name] if name in failed else Timing(tuple(times[name])) for name in runs}


def fit_exponent(x: list[float], y: list[float]) -> float:
    r"""The :math:`p` of :math:`y = a x^p`, by least squares of the logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
