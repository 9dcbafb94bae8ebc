"""Any tree of images in class folders."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from mgic_geo.datasets._bad import report_bad
from mgic_geo.datasets.images._classes import find_images
from mgic_geo.datasets.images._files import FileTree
from mgic_geo.datasets.images._lazy import LazyImages


class ImageFolder(LazyImages):
    """A folder or zip of ``<class>/*`` or ``<split>/<class>/*``: items ``(image, label)``.

    Images are uint8 ``[3, H, W]``, decoded when they are taken; classes are the sorted names of
    the folders. A zip stays packed. Names are paths below the class folders' parent, without
    suffix. Files that do not decode are left out with one warning, and are in :attr:`bad_files`.

    Args:
        source: The folder or zip.
        split: Folder above the classes, ``"train"``, ``"val"``, ``"test"``; a tree without such
            folders is all ``"train"``.
        root: Where the verdict on files is kept, under ``processed/``; :obj:`None` keeps none.
        classes: The classes, which give the labels; by default those of all splits together.
        strict: Raise at the first file that does not decode.
        check: Whether to decode every file once now. By default up to 256 MiB are; of more, a bad
            file raises when it is taken.
        progress: Whether to show a bar; :obj:`None`: where the error output is a terminal.

    Raises:
        DataError: The source, or with ``strict`` a file, is unusable.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import ImageFolder
        >>> from mgic_geo.testing import write_tiny_image_tree
        >>> with TemporaryDirectory() as folder:
        ...     _ = write_tiny_image_tree(folder, images=2, splits=["train", "val"])
        ...     dataset = ImageFolder(folder, split="val")
        ...     image, label = dataset[0]
        >>> dataset.names[0], dataset.classes[label], image.shape
        ('blue/blue_0003', 'blue', torch.Size([3, 16, 16]))
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        split: str | None = None,
        root: str | os.PathLike[str] | None = None,
        classes: Sequence[str] | None = None,
        strict: bool = False,
        check: bool | None = None,
        progress: bool | None = None,
    ) -> None:
        tree = FileTree(source)
        found = find_images(tree, split, classes)
        labels = torch.tensor(found.labels, dtype=torch.int64)
        super().__init__(tree, found.files, found.names, found.classes, labels)
        self.check(root, strict, check, progress)
        report_bad(self.bad_files, len(self), tree.source, strict, "images")
