"""CIFAR-10 and CIFAR-100, from their archives or as images in class folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mgic_geo.datasets._bad import report_bad
from mgic_geo.datasets._cache import build_once, cache_path
from mgic_geo.datasets._download import DownloadError, download
from mgic_geo.datasets.images._base import MemoryImages
from mgic_geo.datasets.images._batches import is_batches, read_batches
from mgic_geo.datasets.images._classes import find_images
from mgic_geo.datasets.images._files import FileTree
from mgic_geo.datasets.images._memory import (
    StoredImages,
    decode_all,
    load_images,
    save_images,
)
from mgic_geo.datasets.images._names import CIFAR100_CLASSES
from mgic_geo.errors import DataError
from mgic_geo.io import file_lock

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_HOST = "https://www.cs.toronto.edu/~kriz"


class Cifar10(MemoryImages):
    """CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 in ten classes.

    Items are ``(image, label)``; all images are in memory as ``images``, uint8 ``[M, 3, 32, 32]``.
    Source: `"Learning Multiple Layers of Features from Tiny Images"
    <https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf>`_.

    Args:
        root: Folder of the data set: downloads lie in ``raw/``, decoded images in ``processed/``.
        split: ``"train"`` or ``"test"``.
        source: The archive for Python, the folder in it, or a folder or zip of images
            ``<class>/*`` or ``<split>/<class>/*``. By default what lies in ``root/raw``, and if
            there is nothing, the archive is downloaded.
        strict: Raise at the first image that does not decode, instead of leaving it out.
        force_reload: Read and decode again even if there is a cache.
        download: Whether to download; ``False`` says what to put where.
        progress: Whether to show bars; :obj:`None`: where the error output is a terminal.
        mirrors: Addresses of the archive; by default the official one.
        md5: Checksum of the downloaded archive; by default the published one. What you put into
            ``root/raw`` or give as source is not compared with it.

    Raises:
        DataError: Nothing usable is there; the message says what to put where.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import Cifar10
        >>> from mgic_geo.testing import write_tiny_image_tree
        >>> with TemporaryDirectory() as folder:  # four images that stand in for those of a class
        ...     red = write_tiny_image_tree(f"{folder}/raw/train", ["red"], size=(32, 32)) / "red"
        ...     _ = red.rename(red.with_name("frog"))
        ...     dataset = Cifar10(folder, split="train")
        >>> dataset.images.shape, dataset.classes[dataset.labels[0]]
        (torch.Size([4, 3, 32, 32]), 'frog')
    """

    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)

    _name: ClassVar[str] = "CIFAR-10"
    _classes: ClassVar[tuple[str, ...]] = CIFAR10_CLASSES
    _archive: ClassVar[str] = "cifar-10-python.tar.gz"
    _md5: ClassVar[str] = "c58f30108f718f92721af3b95e74349a"
    _folder: ClassVar[str] = "cifar-10-batches-py"
    _batches: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": tuple(f"data_batch_{i}" for i in range(1, 6)),
        "test": ("test_batch",),
    }
    _meta: ClassVar[str] = "batches.meta"
    _kind: ClassVar[str] = ""

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        source: str | os.PathLike[str] | None = None,
        strict: bool = False,
        force_reload: bool = False,
        download: bool = True,
        progress: bool | None = None,
        mirrors: Sequence[str] | None = None,
        md5: str | None = None,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"split must be 'train' or 'test', got {split!r}")
        root = Path(root).expanduser()
        found = self._find(root / "raw") if source is None else Path(source).expanduser()
        if found is None:
            found = root / "raw" / self._archive
            addresses = (f"{_HOST}/{self._archive}",) if mirrors is None else mirrors
            self._get(found, addresses if download else None, md5 or self._md5, progress)
        if (found / self._folder).is_dir():
            found = found / self._folder
        stored = self._stored(root, found, split, strict, force_reload, progress)
        report_bad(stored.bad_files, len(stored.names), found, strict, "images")
        super().__init__(
            stored.images, stored.labels, stored.names, self._classes, stored.bad_files
        )
        self.split = split

    def _find(self, raw: Path) -> Path | None:
        """What the user (or an earlier call) has put into ``raw``."""
        for name in (self._archive, self._folder):
            if (raw / name).exists():
                return raw / name
        stem = self._name.lower().replace("-", "")
        if zips := sorted(raw.glob(f"{stem}*.zip")):
            return zips[0]
        trees = (raw, raw / "train", raw / "test")
        known = any((tree / name).is_dir() for tree in trees for name in self._classes)
        return raw if known else None

    def _stored(
        self,
        root: Path,
        source: Path,
        split: str,
        strict: bool,
        force: bool,
        progress: bool | None,
    ) -> StoredImages:
        settings = {"name": self._name, "split": split}
        if is_batches(source, self._meta):
            names = self._batches[split]
            files = (
                [source / name for name in (*names, self._meta)] if source.is_dir() else [source]
            )
            stats = [file.stat() for file in files if file.exists()]
            settings["files"] = str([(stat.st_size, stat.st_mtime_ns) for stat in stats])

            def build() -> StoredImages:
                return read_batches(source, names, self._meta, self._kind, self._classes)
        else:
            tree = FileTree(source)
            found = find_images(tree, split, self._classes)
            settings["files"] = tree.fingerprint(found.files)

            def build() -> StoredImages:
                return decode_all(tree, found, (32, 32), strict, progress)

        path = cache_path(root, split, settings)
        return build_once(path, load_images, build, save_images, force)

    def _get(
        self, target: Path, mirrors: Sequence[str] | None, md5: str, progress: bool | None
    ) -> None:
        reason = "downloading is switched off"
        if mirrors is not None:
            try:
                with file_lock(target.with_name(".download.lock")):
                    if not target.exists():  # else another process was faster
                        download(mirrors, target, progress=progress, md5=md5)
                return
            except DownloadError as error:
                reason = f"the download failed ({error})"
        raise DataError(
            f"{target.parent}: {self._name} is not here, and {reason}.\n"
            f"Put {target.name} ({_HOST}/{target.name}) there, or give it, or images in class "
            "folders (also zipped), as source."
        )


class Cifar100(Cifar10):
    """CIFAR-100: 50,000 training and 10,000 test images of 32 x 32 in a hundred classes.

    The classes are the fine ones. Items are ``(image, label)``, as those of :class:`Cifar10`.

    Args:
        root: Folder of the data set: downloads lie in ``raw/``, decoded images in ``processed/``.
        split: ``"train"`` or ``"test"``.
        source: As for :class:`Cifar10`.
        strict: Raise at the first image that does not decode, instead of leaving it out.
        force_reload: Read and decode again even if there is a cache.
        download: Whether to download; ``False`` says what to put where.
        progress: Whether to show bars; :obj:`None`: where the error output is a terminal.
        mirrors: Addresses of the archive; by default the official one.
        md5: Checksum of the downloaded archive; by default the published one.

    Raises:
        DataError: Nothing usable is there; the message says what to put where.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import Cifar100
        >>> from mgic_geo.testing import write_tiny_image_tree
        >>> with TemporaryDirectory() as folder:  # four images that stand in for those of a class
        ...     red = write_tiny_image_tree(f"{folder}/raw/train", ["red"], size=(32, 32)) / "red"
        ...     _ = red.rename(red.with_name("poppy"))
        ...     dataset = Cifar100(folder, split="train")
        >>> dataset.images.shape, dataset.classes[dataset.labels[0]]
        (torch.Size([4, 3, 32, 32]), 'poppy')
    """

    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)

    _name = "CIFAR-100"
    _classes = CIFAR100_CLASSES
    _archive = "cifar-100-python.tar.gz"
    _md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    _folder = "cifar-100-python"
    _batches: ClassVar[dict[str, tuple[str, ...]]] = {"train": ("train",), "test": ("test",)}
    _meta = "meta"
    _kind = "fine_"
