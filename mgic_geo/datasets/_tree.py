"""Shapes in folders of classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mgic_geo.errors import DataError
from mgic_geo.io import shape_suffix
from mgic_geo.io.text import looks_like_points

# Of files that differ only in it, the first is taken: meshes, then exact clouds, then text.
SUFFIXES = (
    *(".off", ".ply", ".obj", ".stl", ".glb", ".gltf", ".pcd", ".xyz", ".npy", ".npz"),
    *(".las", ".laz", ".h5", ".hdf5", ".pts", ".txt", ".csv"),
)


_TEXT = (".txt", ".csv")


@dataclass(frozen=True)
class ShapeFile:
    """One shape: its name (the file's stem), class index, class name and file."""

    name: str
    label: int
    class_name: str
    file: Path


def class_folders(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the folders that can be classes, sorted."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give one that holds <class>/ folders")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    return [name for name in names if not name.startswith((".", "__"))]


def find_shapes(
    folder: str | os.PathLike[str],
    classes: Sequence[str] | None = None,
    split: str | None = None,
    suffixes: Sequence[str] = SUFFIXES,
) -> tuple[tuple[str, ...], list[ShapeFile]]:
    """Lists the shapes of a tree ``<class>/*`` or ``<class>/<split>/*``, sorted by class and name.

    Args:
        folder: The tree.
        classes: The known classes, which give the labels; a missing one is no error. Without them
            every folder is a class.
        split: Name of the folder below the class.
        suffixes: The formats to take; of two files that differ only in their suffix the one whose
            suffix comes first.

    Returns:
        The classes, and the shapes.

    Raises:
        DataError: There are folders of unknown classes, or no shapes.
    """
    folder = Path(folder)
    found = class_folders(folder)
    known = tuple(found if classes is None else classes)
    if unknown := [name for name in found if name not in known]:
        raise DataError(
            f"{folder}: unknown class {'folder' if len(unknown) == 1 else 'folders'} "
            f"{', '.join(unknown)}; known are {', '.join(known)}"
        )
    shapes = []
    for label, name in enumerate(known):
        files: dict[str, Path] = {}
        for file in sorted((folder / name / (split or "")).glob("*")):
            suffix = shape_suffix(file)
            if suffix not in suffixes or file.name.startswith(".") or not file.is_file():
                continue
            if file.suffix.lower() in _TEXT and not _holds_points(file):
                continue  # notes
            stem = file.name[: file.name.lower().rindex(suffix)]
            other = files.setdefault(stem, file)
            if suffixes.index(suffix) < suffixes.index(shape_suffix(other)):
                files[stem] = file
        shapes += [ShapeFile(stem, label, name, file) for stem, file in sorted(files.items())]
    if not shapes:
        place = f"<class>/{split}/" if split else "<class>/"
        raise DataError(
            f"{folder}: no shapes in it; they belong into {place}, as {', '.join(suffixes)}"
        )
    return known, shapes


def _holds_points(file: Path) -> bool:
    with file.open("rb") as opened:
        return looks_like_points(opened.read(1 << 12))
