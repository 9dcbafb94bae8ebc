from __future__ import annotations

import os
import signal
import threading

import pytest
import torch

pool = pytest.importorskip("mgic_geo.kernels._cpu.pool", reason="no compiled kernels here")


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_every_part_runs_once(parts: int) -> None:
    seen: list[tuple[int, int, str]] = []
    pool.run_parts(lambda part, of, word: seen.append((part, of, word)), parts, "x")
    assert sorted(seen) == [(part, parts, "x") for part in range(parts)]


def test_parts_share_threads() -> None:
    meeting = threading.Barrier(3)  # passes only if three parts are at work together
    pool.run_parts(lambda part, of: meeting.wait(20), 3)


def test_an_error_reaches_the_caller_and_the_threads_live_on() -> None:
    def fails(part: int, of: int) -> None:
        if part == 1:
            raise KeyError("broken")

    for _ in range(3):
        with pytest.raises(KeyError, match="broken"):
            pool.run_parts(fails, 4)
    test_every_part_runs_once(5)


def test_callers_do_not_wait_for_one_another() -> None:
    release, inside = threading.Event(), threading.Event()

    def blocks(part: int, of: int) -> None:
        inside.set()
        release.wait(20)

    other = threading.Thread(target=pool.run_parts, args=(blocks, 3))
    other.start()
    assert inside.wait(20)
    test_every_part_runs_once(3)
    release.set()
    other.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    test_parts_share_threads()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that waits for its parent's threads would wait for ever
        test_parts_share_threads()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
