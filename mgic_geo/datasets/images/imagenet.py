"""ImageNet-1k, where somebody has put it."""

from __future__ import annotations

import os
from pathlib import Path

from mgic_geo.datasets.images.folder import ImageFolder
from mgic_geo.errors import DataError


class ImageNet(ImageFolder):
    """ILSVRC-2012 in its usual layout, ``train/n01440764/*.JPEG`` and ``val/n01440764/*.JPEG``.

    1.28 million training and 50,000 validation images in 1,000 classes, named by their WordNet
    numbers: `"ImageNet Large Scale Visual Recognition Challenge"
    <https://arxiv.org/abs/1409.0575>`_. It cannot be downloaded without an account; the card of
    the data set says how to get it. See :class:`ImageFolder`.

    Args:
        root: Folder that holds ``train/`` and ``val/``, itself or in ``raw/``.
        split: ``"train"`` or ``"val"``; the official test images have no public labels.
        strict: Raise at the first file that does not decode.
        check: Whether to decode every file once now; by default not, a bad file raises when it is
            taken.
        progress: Whether to show a bar; :obj:`None`: where the error output is a terminal.

    Raises:
        DataError: It is not there; the message says what to put where.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import ImageNet
        >>> from mgic_geo.testing import write_tiny_image_tree
        >>> with TemporaryDirectory() as folder:  # three classes in the same layout
        ...     tree = write_tiny_image_tree(folder, images=2, splits=["train", "val"])
        ...     print(ImageNet(tree, split="val"))
        ImageNet(6 images, 3 classes)
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        strict: bool = False,
        check: bool | None = None,
        progress: bool | None = None,
    ) -> None:
        root = Path(root).expanduser()
        if split not in ("train", "val"):
            raise DataError(f"split must be 'train' or 'val', got {split!r}")
        for source in (root, root / "raw"):
            if (source / split).is_dir():
                return super().__init__(source, split, root, None, strict, check, progress)
        raise DataError(
            f"{root}: ImageNet is not here. Register at https://image-net.org, and unpack "
            f"ILSVRC-2012 into {root / 'raw'}, as train/<class>/*.JPEG and val/<class>/*.JPEG."
        )
