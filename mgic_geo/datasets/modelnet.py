"""ModelNet-10, from any of the forms that it travels in."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from torch_geometric.data import Data

from mgic_geo.datasets._download import DownloadError, download
from mgic_geo.datasets._tree import class_folders
from mgic_geo.datasets._unzip import unpack_zip, zip_digest
from mgic_geo.datasets.clouds import PointClouds
from mgic_geo.errors import DataError
from mgic_geo.io import file_lock, remove_leftovers

MODELNET10_CLASSES = (
    "bathtub",
    "bed",
    "chair",
    "desk",
    "dresser",
    "monitor",
    "night_stand",
    "sofa",
    "table",
    "toilet",
)
#: The official address first; the checksum makes the others as good.
MODELNET10_MIRRORS = (
    "http://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
    "http://vision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
    "https://3dshapenets.cs.princeton.edu/ModelNet10.zip",
    "https://huggingface.co/datasets/Msun/modelnet10/resolve/main/ModelNet10.zip",
)
#: Of the official zip (473,402,300 bytes), as TensorFlow Datasets publishes it.
MODELNET10_SHA256 = "9d8679435fc07d1d26f13009878db164a7aa8ea5e7ea3c8880e42794b7307d51"

_FOLDER, _ZIP = "ModelNet10", "ModelNet10.zip"


class ModelNet10(PointClouds):
    """The ten classes of ModelNet-10 as clouds: ``Data(pos=[n, 3], y=[1], name=str)``.

    3,991 training and 908 test shapes of the `"3D ShapeNets: A Deep Representation for Volumetric
    Shapes" <https://arxiv.org/abs/1406.5670>`_ paper, z up, in the meshes' own units. See
    :class:`PointClouds` for the sampling, the cache and what happens to unusable files.

    Args:
        root: Folder of the data set: downloads lie in ``raw/``, sampled clouds in ``processed/``.
        split: ``"train"`` or ``"test"``.
        num_points: Points a cloud.
        source: The OFF tree (``<class>/<split>/*.off``, or the folder ``ModelNet10`` above it), the
            official zip, the same tree with PCD clouds, or one NPZ of clouds. By default what lies
            in ``root/raw``, and if there is nothing, the official zip is downloaded.
        sampling: ``"surface"``, ``"fps"`` or ``"poisson"``.
        seed: Seed of the sampling.
        transform: Called with each item that is taken.
        workers: Processes that read files; 1 stays in this one, :obj:`None` chooses.
        strict: Raise at the first unusable shape instead of leaving it out.
        force_reload: Sample again even if there is a cache.
        download: Whether to download; ``False`` says what to put where.
        progress: Whether to show bars; :obj:`None`: where the error output is a terminal.
        mirrors: Addresses of the zip.
        sha256: Checksum of the downloaded zip; :obj:`None` takes what comes. A zip that you put
            into ``root/raw`` or give as source is not compared with it.
        features: As in :class:`PointClouds`.

    Raises:
        DataError: Nothing usable is there; the message says what to put where.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import ModelNet10
        >>> from mgic_geo.testing import write_tiny_off_tree
        >>> with TemporaryDirectory() as folder:  # three of the classes, in the layout of the zip
        ...     tree = write_tiny_off_tree(f"{folder}/raw/ModelNet10", shapes=2)
        ...     dataset = ModelNet10(folder, split="train", num_points=64, workers=1)
        >>> len(dataset), dataset.num_classes
        (6, 10)
    """

    suffixes = (".off", ".pcd")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        num_points: int = 1024,
        source: str | os.PathLike[str] | None = None,
        sampling: str = "surface",
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        workers: int | None = None,
        strict: bool = False,
        force_reload: bool = False,
        download: bool = True,
        progress: bool | None = None,
        mirrors: Sequence[str] = MODELNET10_MIRRORS,
        sha256: str | None = MODELNET10_SHA256,
        features: str | Sequence[str] = (),
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"split must be 'train' or 'test', got {split!r}")
        raw = Path(root).expanduser() / "raw"
        if source is None:
            source = _find(raw)
        if source is None:
            _download(raw, mirrors if download else None, sha256, progress)
            source = raw / _ZIP
        source = Path(source).expanduser()
        if not source.exists():
            raise DataError(f"{source}: no such file or folder")
        if source.suffix.lower() == ".zip":
            source = _unpacked(source, raw, self.suffixes, progress)
        elif source.suffix.lower() != ".npz":
            source = _tree(source)
        super().__init__(
            source,
            root,
            MODELNET10_CLASSES,
            split,
            num_points,
            sampling,
            seed,
            transform,
            workers,
            strict,
            force_reload,
            progress,
            features,
        )


def _find(raw: Path) -> Path | None:
    """What the user (or an earlier call) has put into ``raw``."""
    for name in (_FOLDER, _ZIP, "modelnet10.npz"):
        if (raw / name).exists():
            return raw / name
    known = raw.is_dir() and any((raw / name).is_dir() for name in MODELNET10_CLASSES)
    return raw if known else None


def _tree(folder: Path) -> Path:
    """The folder that holds the class folders: itself, or ``ModelNet10`` in it."""
    if not folder.is_dir():
        raise DataError(f"{folder}: neither a folder nor a .zip or .npz file")
    inner = folder / _FOLDER
    return inner if inner.is_dir() and _FOLDER in class_folders(folder) else folder


def _download(
    raw: Path, mirrors: Sequence[str] | None, sha256: str | None, progress: bool | None
) -> None:
    reason = "downloading is switched off"
    if mirrors is not None:
        try:
            with file_lock(raw / ".download.lock"):
                if not (raw / _ZIP).exists():  # else another process was faster
                    download(mirrors, raw / _ZIP, sha256, progress=progress)
            return
        except DownloadError as error:
            reason = f"the download failed ({error})"
    raise DataError(
        f"{raw}: ModelNet-10 is not here, and {reason}.\n"
        f"Put {_ZIP} ({MODELNET10_MIRRORS[0]}) or its folder {_FOLDER}/ there, or give the OFF "
        "tree, the zip, a PCD tree or an NPZ as source."
    )


def _unpacked(archive: Path, raw: Path, suffixes: Sequence[str], progress: bool | None) -> Path:
    """The folder into which the archive is unpacked, once."""
    name = _FOLDER
    if archive.resolve() != (raw / _ZIP).resolve():  # another zip gets another folder
        name = f"{archive.stem}-{zip_digest(archive)[:8]}"
    target = raw / name
    if not target.is_dir():
        with file_lock(raw / ".unpack.lock"):
            if not target.is_dir():
                remove_leftovers(raw, name)
                unpack_zip(archive, target, suffixes, _FOLDER, progress)
    return _tree(target)
