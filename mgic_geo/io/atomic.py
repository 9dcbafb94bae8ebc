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
    """Turns the system's "no space left" into a :class:`DataError` that names the file.

    Args:
        path: The file that is being written, as the message names it.

    Raises:
        DataError: The disk is full.

    Example:
        >>> import errno
        >>> from mgic_geo.io import full_disk_as_data_error
        >>> with full_disk_as_data_error("run.csv"):  # doctest: +ELLIPSIS
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        mgic_geo.errors.DataError: run.csv: the disk is full; nothing was kept, ...
    """
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

    Yields:
        The open file.

    Raises:
        DataError: The disk is full.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.io import atomic_write
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "result.txt"
        ...     with atomic_write(path, "w", encoding="utf-8") as file:
        ...         _ = file.write("94.7")
        ...         print(path.exists())
        ...     print(path.read_text())
        False
        94.7
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

    Call it where no other process writes into the folder, or hold the lock of ``name``.

    Args:
        folder: The folder; it need not exist.
        name: Only what was to become this file.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.io import remove_leftovers
        >>> with TemporaryDirectory() as folder:
        ...     (Path(folder) / ".last.pt.0123456789ab.tmp").touch()  # what a killed process leaves
        ...     remove_leftovers(folder)
        ...     print(list(Path(folder).iterdir()))
        []
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
