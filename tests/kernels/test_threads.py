from __future__ import annotations

import os
import signal
import threading
import time
import weakref

import pytest

from mgic_geo.kernels.cpu import threads
from mgic_geo.kernels.cpu.threads import ranges, run_all


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_every_task_runs_once(count: int, workers: int) -> None:
    seen: list[tuple[int, str]] = []
    run_all(lambda i, word: seen.append((i, word)), [(i, "x") for i in range(count)], workers)
    assert sorted(seen) == [(i, "x") for i in range(count)]


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_every_part_of_a_kernel_runs_once(parts: int) -> None:
    pool = pytest.importorskip("mgic_geo.kernels.cpu.threads", reason="no compiled kernels here")
    seen: list[tuple[int, int, str]] = []
    pool.run_parts(lambda part, of, word: seen.append((part, of, word)), parts, "x")
    assert sorted(seen) == [(part, parts, "x") for part in range(parts)]


def test_tasks_share_threads() -> None:
    meeting = threading.Barrier(3)  # passes only if three tasks are at work together
    run_all(meeting.wait, [(20,)] * 3, 3)


def test_no_more_workers_than_asked_for() -> None:
    test_tasks_share_threads()  # there are more threads than that
    busy, most = [], []

    def works(i: int) -> None:
        busy.append(i)
        most.append(len(busy))
        time.sleep(0.01)
        busy.remove(i)

    run_all(works, [(i,) for i in range(8)], 2)
    assert max(most) == 2


def test_a_task_may_share_out_its_own() -> None:
    seen: list[int] = []

    def inner(i: int) -> None:
        run_all(lambda j: seen.append(3 * i + j), [(j,) for j in range(3)], 3)

    run_all(inner, [(i,) for i in range(6)], 3)
    assert sorted(seen) == list(range(18))


def test_an_error_reaches_the_caller_and_the_threads_live_on() -> None:
    def fails(i: int) -> None:
        if i == 1:
            raise KeyError("broken")

    for _ in range(3):
        with pytest.raises(KeyError, match="broken"):
            run_all(fails, [(i,) for i in range(4)], 3)
    test_every_task_runs_once(5, 3)


def test_threads_end_before_the_interpreter_and_start_again() -> None:
    test_tasks_share_threads()
    mine = [t for t in threading.enumerate() if t.name == "mgic_geo"]
    assert mine
    threads._stop()
    assert not any(t.is_alive() for t in mine)
    test_tasks_share_threads()


def test_nothing_of_a_task_outlives_it() -> None:
    class Held:
        pass

    held = Held()
    gone = weakref.ref(held)
    run_all(lambda i, _=held: None, [(i,) for i in range(3)], 3)
    del held
    for _ in range(100):  # a thread may be about to let go of it
        if gone() is None:
            break
        time.sleep(0.02)
    assert gone() is None


def test_ranges_cover_all_once() -> None:
    for count in (1, 5, 12):
        for parts in (1, 3, 20):
            found = ranges(count, parts)
            assert [i for start, stop in found for i in range(start, stop)] == list(range(count))
            assert len(found) == min(parts, count)


def test_callers_do_not_wait_for_one_another() -> None:
    release, inside = threading.Event(), threading.Event()

    def blocks() -> None:
        inside.set()
        release.wait(20)

    other = threading.Thread(target=run_all, args=(blocks, [()] * 3, 3))
    other.start()
    assert inside.wait(20)
    test_every_task_runs_once(3, 3)
    release.set()
    other.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    test_tasks_share_threads()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that waits for its parent's threads would wait for ever
        test_tasks_share_threads()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
