"""CamVid: streets of Cambridge, filmed from a car."""

from __future__ import annotations

import os
from pathlib import Path

from mgic_geo.datasets.images._files import FileTree
from mgic_geo.datasets.images.segmentation import (
    SegmentationFolder,
    is_segmentation,
    segmentation_splits,
)
from mgic_geo.errors import DataError

CAMVID_CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)


class CamVid(SegmentationFolder):
    """CamVid in its usual form of 480 x 360 pixels and 11 classes; 11 is void, and ignored.

    367 training, 101 validation and 233 test images; items are ``(image, mask)``. Sources:
    `"Semantic object classes in video" <https://doi.org/10.1016/j.patrec.2008.04.005>`_, and
    `SegNet <https://arxiv.org/abs/1511.00561>`_ for the split and the classes.

    Args:
        source: A folder or zip of ``images/<name>`` and ``labels/<name>`` (or ``train``,
            ``trainannot``, ...), or the folder of the data set: such a folder or
            ``camvid_<split>.zip`` lies in it, or in its ``raw/``.
        split: ``"train"``, ``"val"`` or ``"test"``; what has no splits is taken as this one.
        root: Where the verdict on files is kept, under ``processed/``; :obj:`None` keeps none.
        strict: Raise at the first file that does not decode.
        check: Whether to decode every file once now; by default up to 256 MiB are.
        progress: Whether to show a bar; :obj:`None`: where the error output is a terminal.

    Raises:
        DataError: It is not there, or unusable.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> from mgic_geo.datasets import CamVid
        >>> with TemporaryDirectory() as folder:  # one small image, whose pixels are all sky
        ...     for kind, mode in (("images", "RGB"), ("labels", "L")):
        ...         Path(folder, kind).mkdir()
        ...         Image.new(mode, (48, 36)).save(Path(folder, kind, "0001TP_006690.png"))
        ...     image, mask = CamVid(folder)[0]
        >>> image.shape, mask.unique().tolist()
        (torch.Size([3, 36, 48]), [0])
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        split: str = "train",
        root: str | os.PathLike[str] | None = None,
        strict: bool = False,
        check: bool | None = None,
        progress: bool | None = None,
    ) -> None:
        if split not in ("train", "val", "test"):
            raise DataError(f"split must be 'train', 'val' or 'test', got {split!r}")
        found, part = _find(Path(source).expanduser(), split)
        super().__init__(found, part, root, CAMVID_CLASSES, 11, strict, check, progress)


def _find(source: Path, split: str) -> tuple[Path, str | None]:
    """A source of :class:`SegmentationFolder`, and the split in it."""
    if source.is_file():
        tree = FileTree(source)
        return source, split if segmentation_splits(tree) else None
    for folder in (source, source / "raw"):
        if (packed := folder / f"camvid_{split}.zip").is_file():
            return packed, None
        if folder.is_dir() and is_segmentation(tree := FileTree(folder)):
            return folder, split if segmentation_splits(tree) else None
    raise DataError(
        f"{source}: CamVid's {split!r} is not here. Put camvid_{split}.zip (images/<name>.jpg, "
        f"labels/<name>.png) or the folders {split}/ and {split}annot/ there."
    )
