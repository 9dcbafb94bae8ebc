"""How long this process has waited for Numba's compiler."""

# mypy: disable-error-code="no-untyped-call, misc"

from __future__ import annotations

from threading import local
from time import perf_counter

from numba.core import event


class _Watch(event.Listener):
    """Adds up compilations; those inside of another are a part of it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._thread = local()

    def on_start(self, event: event.Event) -> None:
        depth = getattr(self._thread, "depth", 0)
        if depth == 0:
            self._thread.start = perf_counter()
        self._thread.depth = depth + 1

    def on_end(self, event: event.Event) -> None:
        self._thread.depth -= 1
        if self._thread.depth == 0:
            self.seconds += perf_counter() - self._thread.start


_WATCH = _Watch()
event.register("numba:compile", _WATCH)


def compile_seconds() -> float:
    """Seconds of compiling so far, of all threads; loops from the cache take none."""
    return _WATCH.seconds
