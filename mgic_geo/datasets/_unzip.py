"""Archives that become a folder, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mgic_geo.datasets._sampling import progress_bar
from mgic_geo.errors import DataError
from mgic_geo.io import full_disk_as_data_error


def unpack_zip(
    archive: str | os.PathLike[str],
    target: str | os.PathLike[str],
    suffixes: Sequence[str],
    inner: str | None = None,
    progress: bool | None = None,
) -> None:
    """Unpacks the files with these suffixes; ``target`` appears when all of them are there.

    Args:
        archive: The zip file.
        target: The folder to make; it must not exist.
        suffixes: Such as ``(".off",)``; other files, hidden ones and ``__MACOSX`` stay packed.
        inner: If the archive has this folder at its top, its content becomes ``target``.
        progress: Whether to show a bar; :obj:`None`: where the error output is a terminal.

    Raises:
        DataError: It is damaged, has none of these files, has paths that lead out of the folder, or
            the disk is full.
    """
    target = Path(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with full_disk_as_data_error(target), zipfile.ZipFile(archive) as file:
            entries = [entry for entry in file.infolist() if _wanted(entry.filename, suffixes)]
            if not entries:
                raise DataError(f"{archive}: no {' or '.join(suffixes)} files in it")
            for entry in entries:
                if not _stays_inside(entry.filename):
                    raise DataError(
                        f"{archive}: holds {entry.filename!r}, a path out of its folder; "
                        "do not trust this archive"
                    )
            temporary.mkdir(parents=True)
            bar = progress_bar(progress, total=len(entries), desc="Unpacking", unit=" files")
            with bar:
                for entry in entries:
                    file.extract(entry, temporary)
                    bar.update()
            top = temporary / inner if inner else temporary
            with_inner = top.is_dir()
            os.replace(top if with_inner else temporary, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DataError(
            f"{archive}: a damaged or unsupported zip file ({error}); delete it and get it again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def zip_digest(archive: str | os.PathLike[str]) -> str:
    """A digest of the names and checksums in the directory of a zip (or NPZ) file."""
    try:
        with zipfile.ZipFile(archive) as file:
            lines = [f"{entry.filename} {entry.CRC}" for entry in file.infolist()]
    except zipfile.BadZipFile as error:
        kind = Path(archive).suffix[1:].upper()
        raise DataError(f"{archive}: not a readable {kind} file: {error}") from None
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _wanted(name: str, suffixes: Sequence[str]) -> bool:
    path = PurePosixPath(name)
    return (
        path.suffix.lower() in suffixes
        and not path.name.startswith(".")
        and "__MACOSX" not in path.parts
    )


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]
