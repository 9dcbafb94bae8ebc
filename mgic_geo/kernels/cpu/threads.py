"""The one way of running compiled loops on several threads.

Plain threads over functions that release Python's lock, started once: no second OpenMP pool beside
torch's, and nothing that a process forked later, such as a loader's worker, would trip over,
because it starts threads of its own.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import torch

# Numbers read and written: a thread takes about as long to wake up as to go through half of them.
WORTH_SHARING = 2**19
# Parts a thread where they need not be added up: a core that is busy elsewhere holds the others up
# less.
PARTS = 4

_tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
_threads: list[Thread] = []
_lock = Lock()


def _work(tasks: SimpleQueue[Callable[[], None] | None]) -> None:
    while (task := tasks.get()) is not None:
        task()
        del task  # what it holds goes now, not when the next one comes


def _start(count: int) -> None:
    with _lock:
        while len(_threads) < count:
            thread = Thread(target=_work, args=[_tasks], name="mgic_geo", daemon=True)
            thread.start()
            _threads.append(thread)


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    global _tasks, _threads, _lock
    _tasks, _threads, _lock = SimpleQueue(), [], Lock()


@atexit.register
def _stop() -> None:
    """The interpreter must not end while a thread still lets go of a task's tensors."""
    with _lock:
        for _ in _threads:
            _tasks.put(None)
        for thread in _threads:
            thread.join(timeout=5)
        _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run_all(function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], workers: int) -> None:
    """Calls ``function(*task)`` for each task, at most ``workers`` at a time, this thread included.

    Threads that are free take the next task. The first error is raised once all are done.
    """
    helpers = min(workers, len(tasks)) - 1
    if helpers < 1:
        for task in tasks:
            function(*task)
        return
    _start(helpers)
    todo = iter(tasks)  # next() on it is atomic
    done: SimpleQueue[BaseException | None] = SimpleQueue()

    def work() -> None:
        for task in todo:
            try:
                function(*task)
                done.put(None)
            except BaseException as error:  # raised below
                done.put(error)

    for _ in range(helpers):
        _tasks.put(work)
    work()
    errors = [error for _ in tasks if (error := done.get()) is not None]
    if errors:
        raise errors[0]


def ranges(count: int, parts: int) -> list[tuple[int, int]]:
    """``range(count)`` in at most ``parts`` pieces of nearly one length."""
    parts = max(min(parts, count), 1)
    return [(i * count // parts, (i + 1) * count // parts) for i in range(parts)]


def parts_for(work: int, each: int = 1) -> int:
    """How many parts: ``each`` a thread, one where there is too little work to share.

    Args:
        work: Numbers read and written.
        each: Parts a thread: with several, a core that is busy elsewhere holds the others up less.
    """
    return each * torch.get_num_threads() if work >= WORTH_SHARING else 1


def run_parts(kernel: Callable[..., None], parts: int, *args: Any) -> None:
    """Runs ``kernel(part, parts, *args)``, which lets go of Python's lock, for every part."""
    if parts == 1:
        kernel(0, 1, *args)
    else:
        run_all(kernel, [(part, parts, *args) for part in range(parts)], torch.get_num_threads())
