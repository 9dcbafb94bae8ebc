"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mgic_geo.errors import DataError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# as atomic_write and unpack_zip name them
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{12}\.tmp")


@contextmanager
def full_disk_as_data_error(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns the system's "no space left" into a :class:`DataError` that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise DataError(
            f"{path}: the disk is full; nothing was kept, free some space and run it again"
        ) from error


@contextmanager
def atomic_write(
    path: str | os.PathLike[str], mode: str = "wb", **kwargs: Any
) -> Iterator[IO[Any]]:
    """Opens a file for writing that appears under its name only when it is complete.

    The data go to a temporary file in the same folder, which is synchronised and renamed at the end
    of the ``with`` block; after any exception (a full disk, Ctrl-C) it is removed and the old file,
    if there was one, is still there. The folder is made where it is missing.

    Args:
        path: The file to write; a symbolic link is followed.
        mode: ``"wb"`` or ``"w"``.
        **kwargs: Passed to :func:`open`, for example ``encoding`` or ``newline``.

    Raises:
        DataError: The disk is full.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    with full_disk_as_data_error(path):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # "x": two writers can never share a temporary file; its mode follows the umask
            with open(temporary, mode.replace("w", "x"), **kwargs) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: str | os.PathLike[str], name: str | None = None) -> None:
    """Deletes the temporary files and folders that a killed process left behind.

    To be called where no other process writes into the folder, or holding the lock of ``name``.

    Args:
        folder: The folder; it need not exist.
        name: Only what was to become this file.
    """
    folder = Path(folder)
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        found = _TEMPORARY.fullmatch(path.name)
        if found is None or name not in (None, found["name"]):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
