"""Shares the parts of a compiled kernel among threads.

A kernel ``kernel(part, parts, *args)`` lets go of Python's lock, so plain threads are enough: no
second OpenMP pool beside torch's, nothing that breaks in a forked process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

import torch

_tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
_started = 0
_lock = Lock()


def _work(tasks: SimpleQueue[Callable[[], None]]) -> None:
    while True:
        tasks.get()()


def _start(count: int) -> None:
    global _started
    with _lock:
        while _started < count:
            Thread(target=_work, args=[_tasks], name="mgic_geo", daemon=True).start()
            _started += 1


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    global _tasks, _started, _lock
    _tasks, _started, _lock = SimpleQueue(), 0, Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run_parts(kernel: Callable[..., None], parts: int, *args: Any) -> None:
    """Runs ``kernel(part, parts, *args)`` for every part on ``torch.get_num_threads()`` threads.

    Threads that are free take the next part; this one does, too.
    """
    helpers = min(torch.get_num_threads(), parts) - 1
    _start(helpers)
    todo: SimpleQueue[int] = SimpleQueue()
    done: SimpleQueue[BaseException | None] = SimpleQueue()
    for part in range(parts):
        todo.put(part)

    def work() -> None:
        with contextlib.suppress(Empty):
            while True:
                part = todo.get_nowait()
                try:
                    kernel(part, parts, *args)
                    done.put(None)
                except BaseException as error:  # raised below
                    done.put(error)

    for _ in range(helpers):
        _tasks.put(work)
    work()
    errors = [error for _ in range(parts) if (error := done.get()) is not None]
    if errors:
        raise errors[0]
