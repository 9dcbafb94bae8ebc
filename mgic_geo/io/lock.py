"""A lock between processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mgic_geo.errors import DataError

try:
    import fcntl

    _HAS_FCNTL = True
except ImportError:  # Windows
    _HAS_FCNTL = False


def _try_exclusive_file(path: Path) -> int | None:
    try:
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    except FileExistsError:
        return None


def _try_flock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def file_lock(
    path: str | os.PathLike[str], timeout: float | None = None, poll: float = 0.05
) -> Iterator[None]:
    """Holds a lock that only one process (and one thread) has at a time.

    With ``fcntl`` the system frees the lock of a process that dies; without it the lock is the
    existence of the file, which has to be deleted by hand after a crash. It is not re-entrant.

    Args:
        path: The lock file; with ``fcntl`` it stays there, empty.
        timeout: Seconds to wait; :obj:`None` waits for ever.
        poll: Seconds between two tries.

    Raises:
        DataError: The lock was not free in time.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.io import file_lock
        >>> with TemporaryDirectory() as folder:
        ...     with file_lock(f"{folder}/cache.lock"):
        ...         with file_lock(f"{folder}/cache.lock", timeout=0.0):  # doctest: +ELLIPSIS
        ...             pass
        Traceback (most recent call last):
        mgic_geo.errors.DataError: ... another process still holds this lock after 0 s; ...
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    acquire = _try_flock if _HAS_FCNTL else _try_exclusive_file
    end = None if timeout is None else time.monotonic() + timeout
    while (descriptor := acquire(path)) is None:
        if end is not None and time.monotonic() > end:
            raise DataError(
                f"{path}: another process still holds this lock after {timeout:g} s; wait for it, "
                "or delete the file if that process is gone"
            )
        time.sleep(poll)
    try:
        yield
    finally:
        os.close(descriptor)
        if not _HAS_FCNTL:
            path.unlink(missing_ok=True)
