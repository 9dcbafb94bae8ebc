"""Times of training steps, taken side by side."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.benchmarks._timing import Run, Timing, interleave

from ._experiment import Context


def record_steps(context: Context, runs: Mapping[str, Run], what: str) -> None:
    """Times all steps in turn and records the medians as ``step``, in milliseconds.

    Args:
        context: The experiment.
        runs: A step of each network, by the names of their rows.
        what: The batch, for the note.
    """
    rounds, seconds = ((2, 2), 0.0) if context.quick else ((5, 30), 40.0)
    for name, timing in interleave(runs, rounds, seconds).items():
        if not isinstance(timing, Timing):
            raise timing
        low, high = (1e3 * quartile for quartile in timing.quartiles)
        note = f"{what}, quartiles {low:.0f} and {high:.0f} ms"
        context.record(name, {"step": 1e3 * timing.median}, note=note)
