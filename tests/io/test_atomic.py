from __future__ import annotations

import errno
import multiprocessing
import threading
from pathlib import Path

import pytest

from mgic_geo.errors import DataError
from mgic_geo.io import atomic_write, file_lock, lock, remove_leftovers


def test_the_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with atomic_write(target, "w", encoding="utf-8") as file:
        file.write("half")
        file.flush()
        assert not target.exists()
    assert target.read_text() == "half"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError(errno.EIO, "broken")])
def test_after_an_error_the_old_file_is_there(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def write() -> None:
        with atomic_write(target) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error if isinstance(error, type) else type(error)):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with (
        pytest.raises(DataError, match=r"a\.bin: the disk is full"),
        atomic_write(tmp_path / "a.bin") as file,
    ):
        file.write(b"new")
    assert not list(tmp_path.iterdir())


def test_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with atomic_write(tmp_path / "link", "w") as file:
        file.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def _count(folder: str) -> None:
    number = Path(folder, "number")
    for _ in range(50):
        with file_lock(Path(folder, "lock"), poll=0.001):
            number.write_text(str(int(number.read_text()) + 1))


def test_processes_take_turns(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(str(tmp_path),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "number").read_text() == "100"


@pytest.mark.parametrize("has_fcntl", [True, False])
def test_threads_take_turns_with_either_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_fcntl: bool
) -> None:
    if has_fcntl:
        pytest.importorskip("fcntl", reason="this system has no fcntl")
    monkeypatch.setattr(lock, "_HAS_FCNTL", has_fcntl)
    (tmp_path / "number").write_text("0")
    threads = [threading.Thread(target=_count, args=(str(tmp_path),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "number").read_text() == "150"
    with (
        file_lock(tmp_path / "lock"),
        pytest.raises(DataError, match="still holds this lock"),
        file_lock(tmp_path / "lock", timeout=0.05),
    ):
        pass
    assert (tmp_path / "lock").exists() is has_fcntl


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    names = [".a.txt.0123456789ab.tmp", ".b.txt.0123456789ab.tmp", "a.txt", ".a.txt.tmp"]
    for name in names:
        (tmp_path / name).write_text("half")
    unpacked = tmp_path / ".a.0123456789ab.tmp" / "inner"
    unpacked.mkdir(parents=True)
    remove_leftovers(tmp_path, "a.txt")
    assert not (tmp_path / names[0]).exists()
    assert unpacked.exists()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.txt.tmp", "a.txt"]
    remove_leftovers(tmp_path / "nowhere")
