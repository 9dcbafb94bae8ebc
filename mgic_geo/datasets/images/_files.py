"""Files of a folder or of a zip that stays packed, by their path in it."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mgic_geo.datasets._unzip import zip_digest
from mgic_geo.datasets.images.decode import UndecodableError
from mgic_geo.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


class FileTree:
    """The image files below a folder, or in a zip.

    Paths have ``/`` between their parts. Hidden files and what archivers of macOS add are left
    out. A process that gets a copy (by fork or pickle) opens the zip for itself.

    Args:
        source: The folder or zip.

    Raises:
        DataError: It is neither.
    """

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self.source = Path(source).expanduser()
        if not self.source.exists():
            raise DataError(f"{self.source}: no such file or folder")
        self.packed = self.source.is_file()
        self._zip: tuple[int, zipfile.ZipFile] | None = None
        self._entries: list[str] = []
        self._folders: dict[str, set[str]] = {}  # of a zip: what is directly in each
        self._with_images: set[str] = set()
        if self.packed:
            names = (name for name in self._open().namelist() if not name.endswith("/"))
            self._entries = sorted(name for name in names if _visible(name))
            for entry in self._entries:
                self._note(entry)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_zip": None}

    def name(self, path: str) -> str:
        """What messages call a file."""
        return f"{self.source}/{path}" if path else str(self.source)

    def images(self, under: str = "") -> list[str]:
        """All images at any depth below a folder, sorted."""
        if self.packed:
            prefix = f"{under}/" if under else ""
            return [e for e in self._entries if e.startswith(prefix) and _is_image(e)]
        found = []
        for folder, inner, files in os.walk(self._path(under), followlinks=True, onerror=_fail):
            inner[:] = [name for name in inner if _visible(name)]
            where = Path(folder).relative_to(self.source).as_posix()
            prefix = "" if where == "." else f"{where}/"
            found += [prefix + name for name in files if _visible(name) and _is_image(name)]
        return sorted(found)

    def folders(self, under: str = "") -> list[str]:
        """Names of the folders directly below a folder, sorted."""
        if self.packed:
            return sorted(self._folders.get(under, ()))
        path = self._path(under)
        if not path.is_dir():
            return []
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if e.is_dir() and _visible(e.name))

    def has_images(self, under: str = "") -> bool:
        """Whether there are images directly in a folder."""
        if self.packed:
            return under in self._with_images
        path = self._path(under)
        if not path.is_dir():
            return False
        with os.scandir(path) as entries:
            return any(_is_image(e.name) and _visible(e.name) and e.is_file() for e in entries)

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        if self.packed:
            return path in self._folders or path in self._with_images or path in self._entries
        return self._path(path).exists()

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            DataError: It cannot be read; :class:`UndecodableError` if it is damaged in its zip.
        """
        try:
            return self._open().read(path) if self.packed else self._path(path).read_bytes()
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise UndecodableError(f"{self.name(path)}: damaged in its zip ({error})") from error
        except (OSError, RuntimeError, NotImplementedError, KeyError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{self.name(path)}: cannot be read ({reason})") from error

    def size(self, path: str) -> int:
        """Bytes of a file, as decoders get them."""
        if self.packed:
            return self._open().getinfo(path).file_size
        return self._path(path).stat().st_size

    def fingerprint(self, paths: Iterable[str]) -> str:
        """Of names and sizes (of a zip: checksums), so that a tree that moved keeps its cache."""
        if self.packed:
            return zip_digest(self.source)
        digest = hashlib.sha256()
        for path in paths:
            digest.update(f"{path} {self.size(path)}\n".encode())
        return digest.hexdigest()

    def top(self) -> str:
        """The folder in which the content begins: archives often hold one folder with it all."""
        path = ""
        while len(inside := self.folders(path)) == 1 and not self.has_images(path):
            inner = f"{path}/{inside[0]}" if path else inside[0]
            if self.has_images(inner) or not self.folders(inner):
                break
            path = inner
        return path

    def _note(self, entry: str) -> None:
        folder = entry.rpartition("/")[0]
        if _is_image(entry):
            self._with_images.add(folder)
        while folder:
            folder, _, name = folder.rpartition("/")
            inside = self._folders.setdefault(folder, set())
            if name in inside:
                return
            inside.add(name)

    def _path(self, path: str) -> Path:
        return self.source / path

    def _open(self) -> zipfile.ZipFile:
        if self._zip is None or self._zip[0] != os.getpid():
            try:
                self._zip = os.getpid(), zipfile.ZipFile(self.source)
            except (zipfile.BadZipFile, OSError) as error:
                raise DataError(f"{self.source}: not a folder or readable zip: {error}") from None
        return self._zip[1]


def join(*parts: str) -> str:
    """Joins parts of a path, of which some may be empty."""
    return "/".join(part for part in parts if part)


def _visible(path: str) -> bool:
    return not any(part.startswith((".", "__")) for part in path.split("/"))


def _is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def _fail(error: OSError) -> None:
    raise DataError(f"{error.filename}: {error.strerror}; mend it, or take it out") from error
