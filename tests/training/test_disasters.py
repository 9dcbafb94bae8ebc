"""Runs that are killed, and disks that fill, in processes and on a file system of their own."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from mgic_geo.training import Splits, TrainConfig, train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
Config = Callable[..., TrainConfig]
PLACES = 20


def start(config: TrainConfig, splits: Splits) -> multiprocessing.Process:
    """The run in a process of its own, which has the package imported already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mgic_geo.training.loop"])
    process = context.Process(target=train, args=(config, splits))
    process.start()
    return process


def finish(config: TrainConfig, splits: Splits) -> None:
    """Goes on with what is there, or begins."""
    resume = (Path(str(config.out)) / "state.pt").exists()
    process = start(replace(config, resume=resume), splits)
    process.join(300)
    assert process.exitcode == 0


def assert_equal_runs(one: Path, two: Path) -> None:
    for name in ("last.safetensors", "best.safetensors"):
        a, b = load_file(one / name), load_file(two / name)
        assert a.keys() == b.keys()
        assert all(bool((a[key] == b[key]).all()) for key in a)
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert {p.name for p in one.iterdir()} == {p.name for p in two.iterdir()}


def test_a_kill_at_any_time(config: Config, splits: Splits, tmp_path: Path) -> None:
    whole = config(epochs=8, ema=0.9, out=str(tmp_path / "whole"))
    start(whole, splits).join(300)  # compiles what the others find
    shutil.rmtree(tmp_path / "whole")
    begin = time.perf_counter()
    start(whole, splits).join(300)
    seconds = time.perf_counter() - begin
    killed = 0
    for i in range(PLACES):
        folder = tmp_path / f"killed{i}"
        process = start(replace(whole, out=str(folder)), splits)
        process.join((i + 0.5) / PLACES * seconds)
        killed += process.is_alive()
        process.kill()
        process.join(60)
        finish(replace(whole, out=str(folder)), splits)
        assert_equal_runs(tmp_path / "whole", folder)
    assert killed > PLACES // 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(["mount", *options], capture_output=True, text=True)
        reason = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        reason = str(error)
    if reason:
        pytest.skip(f"no file system can be mounted here: {reason}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_at_any_place(
    config: Config, splits: Splits, tmp_path: Path, small_disk: Path
) -> None:
    whole = config(epochs=4, ema=0.9, out=str(small_disk / "whole"))
    start(whole, splits).join(300)
    needed = sum(path.stat().st_size for path in (small_disk / "whole").iterdir())
    needed += (small_disk / "whole" / "state.pt").stat().st_size  # the new one beside the old
    shutil.move(small_disk / "whole", tmp_path / "whole")
    failed = 0
    for i in range(PLACES):
        folder, filler = small_disk / "run", small_disk / "filler"
        free = shutil.disk_usage(small_disk).free - i * needed // PLACES
        filler.write_bytes(bytes(max(free, 0) // 4096 * 4096))
        process = start(replace(whole, out=str(folder)), splits)
        process.join(300)
        failed += process.exitcode != 0
        filler.unlink()
        finish(replace(whole, out=str(folder)), splits)
        assert_equal_runs(tmp_path / "whole", folder)
        shutil.rmtree(folder)
    assert failed > PLACES // 2
