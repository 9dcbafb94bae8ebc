"""Threads over compiled functions that release Python's lock.

They live for one call: unlike an OpenMP team they leave nothing behind that a process forked later,
such as a loader's worker, would trip over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def run_all(function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], workers: int) -> None:
    """Calls ``function(*task)`` for each task, ``workers`` at a time."""
    if workers <= 1 or len(tasks) <= 1:
        for task in tasks:
            function(*task)
        return
    with ThreadPoolExecutor(min(workers, len(tasks))) as pool:
        for future in [pool.submit(function, *task) for task in tasks]:
            future.result()


def ranges(count: int, parts: int) -> list[tuple[int, int]]:
    """``range(count)`` in at most ``parts`` pieces of nearly one length."""
    parts = max(min(parts, count), 1)
    return [(i * count // parts, (i + 1) * count // parts) for i in range(parts)]
