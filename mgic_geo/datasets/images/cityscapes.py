"""Cityscapes: streets of fifty cities, seen from a car."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mgic_geo.datasets._bad import report_bad
from mgic_geo.datasets.images._files import FileTree
from mgic_geo.datasets.images._lazy import LazyImages
from mgic_geo.errors import DataError

# The class that each of the 34 published ids is trained as; the ids between them are not.
_TRAINED = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
CITYSCAPES_CLASSES = tuple(_TRAINED.values())
_IGNORE = 255
_IMAGE, _MASK = "_leftImg8bit.png", "_gtFine_labelIds.png"


class Cityscapes(LazyImages):
    """Cityscapes with fine labels in its official layout: items ``(image, mask)``.

    2,975 training and 500 validation images of 2048 x 1024; a mask holds the 19 classes of the
    benchmark, and 255 for all else. It cannot be downloaded without an account; the card of the
    data set says how to get it. Source: `"The Cityscapes Dataset for Semantic Urban Scene
    Understanding" <https://arxiv.org/abs/1604.01685>`_.

    Args:
        root: Folder that holds ``leftImg8bit/`` and ``gtFine/``, itself or in ``raw/``.
        split: ``"train"``, ``"val"``, or ``"test"``, whose published masks are all 255.
        strict: Raise at the first file that does not decode.
        check: Whether to decode every file once now. By default up to 256 MiB are, so of the whole
            data set none; a bad file raises when it is taken.
        progress: Whether to show a bar; :obj:`None`: where the error output is a terminal.

    Raises:
        DataError: It is not there, an image has no mask or one of another size, a mask holds an
            unknown id, or with ``strict`` a file does not decode.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from mgic_geo.datasets import Cityscapes
        >>> with TemporaryDirectory() as folder:  # one small image, all road (id 7)
        ...     for kind, color, end in (
        ...         ("leftImg8bit", (90, 90, 90), "leftImg8bit"),
        ...         ("gtFine", 7, "gtFine_labelIds"),
        ...     ):
        ...         city = Path(folder, kind, "val", "lindau")
        ...         city.mkdir(parents=True)
        ...         picture = Image.new("RGB" if kind == "leftImg8bit" else "L", (48, 24), color)
        ...         picture.save(city / f"lindau_000000_000019_{end}.png")
        ...     dataset = Cityscapes(folder, split="val")
        ...     image, mask = dataset[0]
        >>> image.shape, [dataset.classes[label] for label in mask.unique()]
        (torch.Size([3, 24, 48]), ['road'])
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
        if split not in ("train", "val", "test"):
            raise DataError(f"split must be 'train', 'val' or 'test', got {split!r}")
        images, masks = f"leftImg8bit/{split}", f"gtFine/{split}"
        source = root if (root / images).is_dir() else root / "raw"
        if not (source / images).is_dir() or not (source / masks).is_dir():
            raise DataError(
                f"{root}: no {images} beside {masks}. Register at "
                "https://www.cityscapes-dataset.com, and unpack leftImg8bit_trainvaltest.zip and "
                f"gtFine_trainvaltest.zip into {root / 'raw'}."
            )
        tree = FileTree(source)
        files = [path for path in tree.images(images) if path.endswith(_IMAGE)]
        if not files:
            raise DataError(f"{source / images}: no <city>/*{_IMAGE}")
        names = [path[len(images) + 1 : -len(_IMAGE)] for path in files]
        known = set(tree.images(masks))
        if missing := [name for name in names if f"{masks}/{name}{_MASK}" not in known]:
            raise DataError(
                f"{source / masks}: {len(missing)} of {len(names)} images have no mask "
                f"*{_MASK}: {', '.join(missing[:5])}"
            )
        labels = [f"{masks}/{name}{_MASK}" for name in names]
        super().__init__(
            tree, files, names, CITYSCAPES_CLASSES, None, labels, _train_ids(), _IGNORE
        )
        self.check(root, strict, check, progress)
        report_bad(self.bad_files, len(self), source, strict, "images")
        self.split = split


def _train_ids() -> np.ndarray:
    """The class of each published id, 255 for those not trained, -1 for what is no id."""
    ids = np.full(256, -1, dtype=np.int16)
    ids[:34] = ids[255] = _IGNORE  # -1, the licence plate, is stored as 255
    ids[list(_TRAINED)] = np.arange(len(_TRAINED))
    return ids
