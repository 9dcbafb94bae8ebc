"""Shares the parts of a compiled kernel among threads.

A kernel ``kernel(part, parts, *args)`` lets go of Python's lock, so plain threads are enough: no
second OpenMP pool beside torch's, nothing that breaks in a forked process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import torch

# Numbers read and written: a thread takes about as long to wake up as to go through half of them.
_WORTH_SHARING = 2**19

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


def parts_for(work: int, each: int = 1) -> int:
    """How many parts: ``each`` a thread, one where there is too little work to share."""
    return each * torch.get_num_threads() if work >= _WORTH_SHARING else 1


def run_parts(kernel: Callable[..., None], parts: int, *args: Any) -> None:
    """Runs ``kernel(part, parts, *args)`` for every part on ``torch.get_num_threads()`` threads.

    Threads that are free take the next part; this one does, too.
    """
    helpers = min(torch.get_num_threads(), parts) - 1
    if helpers < 1:
        for part in range(parts):
            kernel(part, parts, *args)
        return
    _start(helpers)
    todo = iter(range(parts))  # next() on it is atomic
    done: SimpleQueue[BaseException | None] = SimpleQueue()

    def work() -> None:
        for part in todo:
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
