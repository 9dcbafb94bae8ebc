"""Any folder of images and masks."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from mgic_geo.datasets._bad import report_bad
from mgic_geo.datasets.images._files import FileTree, join
from mgic_geo.datasets.images._lazy import LazyImages, known_ids
from mgic_geo.datasets.images.decode import UndecodableError, decode_mask
from mgic_geo.errors import DataError


class SegmentationFolder(LazyImages):
    """A folder or zip of ``images/<name>.jpg`` and ``labels/<name>.png``: items ``(image, mask)``.

    A mask is a grey or palette image whose values are class indices. A split is a folder above
    these two (``train/images``), below them (``images/train``), or ``train`` beside ``trainannot``;
    a source without is all ``"train"``. Images or masks that do not decode are left out with one
    warning, and are in :attr:`bad_files`. A zip stays packed.

    Args:
        source: The folder or zip.
        split: Which part of it.
        root: Where the verdict on files is kept, under ``processed/``; :obj:`None` keeps none.
        classes: Class names in the order of the values; by default the lines of ``classes.txt``,
            and without that file one class for each value up to the largest, named by it.
        ignore_index: Value of pixels without a class, in the masks and in the items.
        strict: Raise at the first file that does not decode.
        check: Whether to decode every file once now. By default up to 256 MiB are; of more, a bad
            file raises when it is taken.
        progress: Whether to show a bar; :obj:`None`: where the error output is a terminal.

    Raises:
        DataError: The source is unusable, an image has no mask or one of another size, a mask
            holds an unknown class, or with ``strict`` a file does not decode.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import SegmentationFolder
        >>> from mgic_geo.testing import write_tiny_segmentation_tree
        >>> with TemporaryDirectory() as folder:
        ...     dataset = SegmentationFolder(write_tiny_segmentation_tree(folder, images=2))
        ...     image, mask = dataset[0]
        >>> image.shape, mask.shape, mask.unique().tolist()  # 255 belongs to no class
        (torch.Size([3, 24, 32]), torch.Size([24, 32]), [0, 1, 2, 255])
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        split: str | None = None,
        root: str | os.PathLike[str] | None = None,
        classes: Sequence[str] | None = None,
        ignore_index: int = 255,
        strict: bool = False,
        check: bool | None = None,
        progress: bool | None = None,
    ) -> None:
        if not 0 <= ignore_index <= 255:
            raise DataError(f"ignore_index must be 0 to 255, got {ignore_index}")
        tree = FileTree(source)
        top, images, labels = _folders(tree, split)
        files, masks, names = _pairs(tree, images, labels)
        if classes is None:
            classes = _classes(tree, top) or _numbered(tree, masks, ignore_index)
        if not 1 <= len(classes) <= 255:
            raise DataError(f"{tree.source}: masks know 1 to 255 classes, not {len(classes)}")
        known = known_ids(len(classes), ignore_index)
        super().__init__(tree, files, names, classes, None, masks, known, ignore_index)
        self.check(root, strict, check, progress)
        report_bad(self.bad_files, len(self), tree.source, strict, "images")


def is_segmentation(tree: FileTree) -> bool:
    """Whether a tree has the layout of :class:`SegmentationFolder`, in whole or by splits."""
    top = tree.top()
    inside = tree.folders(top)
    return {"images", "labels"} <= set(inside) or any(
        {"images", "labels"} <= set(tree.folders(join(top, name))) or f"{name}annot" in inside
        for name in inside
    )


def segmentation_splits(tree: FileTree) -> list[str]:
    """Names of the splits; empty where all files are in one pair of folders."""
    top = tree.top()
    inside = tree.folders(top)
    if {"images", "labels"} <= set(inside):
        below = tree.folders(join(top, "images"))
        return [] if tree.has_images(join(top, "images")) else below
    return [
        name
        for name in inside
        if {"images", "labels"} <= set(tree.folders(join(top, name))) or f"{name}annot" in inside
    ]


def _folders(tree: FileTree, split: str | None) -> tuple[str, str, str]:
    """The folder that holds all, that of the images and that of the masks."""
    top = tree.top()
    splits = segmentation_splits(tree)
    if not splits:
        if split not in (None, "train"):
            raise DataError(f"{tree.source}: has no split {split!r}; all of it counts as 'train'")
        return top, join(top, "images"), join(top, "labels")
    if split is None or split not in splits:
        asked = "name one with split=" if split is None else f"there is no {split!r}"
        raise DataError(f"{tree.source}: holds {' and '.join(splits)}; {asked}")
    for images, labels in (
        (f"{split}/images", f"{split}/labels"),
        (f"images/{split}", f"labels/{split}"),
    ):
        if tree.exists(join(top, images)):
            return top, join(top, images), join(top, labels)
    return top, join(top, split), join(top, f"{split}annot")


def _pairs(tree: FileTree, images: str, labels: str) -> tuple[list[str], list[str], list[str]]:
    """Images, their masks, and their names."""
    files = tree.images(images) if tree.exists(images) else []
    if not files:
        raise DataError(
            f"{tree.name(images)}: no images; they belong into images/<name>.jpg, their masks into "
            "labels/<name>.png"
        )
    masks = tree.images(labels) if tree.exists(labels) else []
    by_name = {_name(path, labels): path for path in masks}
    names = [_name(path, images) for path in files]
    if missing := [name for name in names if name not in by_name]:
        raise DataError(
            f"{tree.name(labels)}: {len(missing)} of {len(names)} images have no mask: "
            f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}"
        )
    return files, [by_name[name] for name in names], names


def _name(path: str, folder: str) -> str:
    return path[len(folder) + 1 :].rpartition(".")[0]


def _classes(tree: FileTree, top: str) -> tuple[str, ...]:
    path = join(top, "classes.txt")
    if not tree.exists(path):
        return ()
    try:
        lines = tree.read(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{tree.name(path)}: not a text of class names in UTF-8") from error
    return tuple(line.strip() for line in lines if line.strip())


def _numbered(tree: FileTree, masks: Sequence[str], ignore_index: int) -> tuple[str, ...]:
    largest = 0
    for path in masks:
        try:
            ids = np.unique(decode_mask(tree.read(path), tree.name(path)))
        except UndecodableError:
            continue  # reported with the others
        largest = max(largest, int(ids[ids != ignore_index].max(initial=0)))
    return tuple(str(value) for value in range(largest + 1))
