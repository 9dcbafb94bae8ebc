"""Images in folders of classes, with or without folders of splits above them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from mgic_geo.datasets.images._files import FileTree, join
from mgic_geo.errors import DataError

#: Folders that hold class folders, by what a user may call them.
_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_KNOWN = tuple(name for names in _SPLITS.values() for name in names)


@dataclass(frozen=True)
class ClassFiles:
    """The classes, and path, label and name of each image, sorted by class and path."""

    classes: tuple[str, ...]
    files: list[str]
    labels: list[int]
    names: list[str]


def split_folders(tree: FileTree) -> list[str]:
    """Names of the folders of splits at the top of a tree; empty where there are none."""
    top = tree.top()
    return [name for name in tree.folders(top) if _is_split(tree, join(top, name), name)]


def find_images(
    tree: FileTree, split: str | None = None, classes: Sequence[str] | None = None
) -> ClassFiles:
    """Lists the images of ``<class>/**`` or ``<split>/<class>/**``.

    Args:
        tree: Where they are.
        split: The split; a tree without splits holds ``"train"``.
        classes: The known classes, which give the labels. Without them every folder is a class;
            all splits have the same labels, also where one lacks images of some class.

    Raises:
        DataError: There is no such split, a folder of an unknown class, or no image.
    """
    top = tree.top()
    splits = split_folders(tree)
    if splits:
        bases = [join(top, name) for name in splits]
        base = join(top, _choose(splits, split, tree))
    elif split in (None, "train"):
        bases, base = [top], top
    else:
        raise DataError(
            f"{tree.source}: has no folder {split!r} above its classes, so all of it counts as "
            "'train'"
        )
    found = sorted({name for folder in bases for name in tree.folders(folder)})
    known = tuple(found if classes is None else classes)
    if unknown := [name for name in found if name not in known]:
        raise DataError(
            f"{tree.source}: unknown class {'folder' if len(unknown) == 1 else 'folders'} "
            f"{', '.join(unknown[:5])}; known are {', '.join(known[:20])}"
        )
    result = _collect(tree, base, known)
    if not result.files:
        raise DataError(
            f"{tree.name(base)}: no images in class folders; they belong into "
            f"{'<split>/' if splits else ''}<class>/, as jpg, png, ..."
        )
    return result


def _collect(tree: FileTree, base: str, classes: tuple[str, ...]) -> ClassFiles:
    index = {name: label for label, name in enumerate(classes)}
    depth = len(base) + 1 if base else 0
    rows = []
    for path in tree.images(base):
        class_name, separator, _ = path[depth:].partition("/")
        if separator:  # else it lies beside the class folders
            rows.append((index[class_name], path))
    rows.sort()
    used = {label for label, _ in rows}
    here = set(tree.folders(base))
    empty = [name for name in classes if name in here and index[name] not in used]
    if rows and empty:
        warnings.warn(
            f"{tree.name(base)}: class folders without images: {', '.join(empty)}", stacklevel=4
        )
    names = [path[depth:].rpartition(".")[0] for _, path in rows]
    return ClassFiles(classes, [path for _, path in rows], [label for label, _ in rows], names)


def _is_split(tree: FileTree, path: str, name: str) -> bool:
    return name in _KNOWN and not tree.has_images(path) and bool(tree.folders(path))


def _choose(splits: Sequence[str], split: str | None, tree: FileTree) -> str:
    for name in _SPLITS.get(split or "", (split,)):
        if name in splits:
            return str(name)
    asked = "name one with split=" if split is None else f"there is no {split!r}"
    raise DataError(f"{tree.source}: holds {' and '.join(splits)}; {asked}")
