"""S3DIS, rooms with a class for each point, from the folder of its published archive."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch_geometric.data import Data

from mgic_geo.datasets._bad import report_bad
from mgic_geo.datasets._cache import (
    SampledClouds,
    build_once,
    cache_path,
    load_cache,
    save_cache,
)
from mgic_geo.datasets._point_labels import Labelled, PointLabelDataset, choose, read_all, unpack
from mgic_geo.datasets._sampling import shape_seed
from mgic_geo.datasets._text_rows import read_rows
from mgic_geo.errors import DataError
from mgic_geo.io import parse_features

S3DIS_FOLDER = "Stanford3dDataset_v1.2_Aligned_Version"
S3DIS_CLASSES = (
    "ceiling",
    "floor",
    "wall",
    "beam",
    "column",
    "window",
    "door",
    "table",
    "chair",
    "sofa",
    "bookcase",
    "board",
    "clutter",
)
S3DIS_AREAS = tuple(f"Area_{number}" for number in range(1, 7))
_FORM = "x y z r g b"


class S3DIS(PointLabelDataset):
    """Stanford's indoor spaces, cut into columns of rooms: 13 classes of points, six areas.

    Rooms of `"3D Semantic Parsing of Large-Scale Indoor Spaces"
    <https://openaccess.thecvf.com/content_cvpr_2016/html/Armeni_3D_Semantic_Parsing_CVPR_2016_paper.html>`_
    in the layout of ``Stanford3dDataset_v1.2_Aligned_Version``:
    ``Area_k/<room>/Annotations/<class>_<number>.txt`` with lines ``x y z r g b``, metres, z up.
    Each room is cut into blocks of the floor plan, which reach from its floor to its ceiling, as
    `PointNet <https://arxiv.org/abs/1612.00593>`_ does; each gives one cloud. Items are
    ``Data(pos=[n, 3], y=[n], category=[1], name=str)``; the category is the area. A file of no
    known class, such as ``stairs_1.txt``, is clutter.

    Args:
        root: Folder of the data set: ``raw/`` holds the archive's folder where ``source`` is not
            given, ``processed/`` what was read of it.
        split: ``"test"`` for the area that is tested, ``"train"`` for the others.
        num_points: Points a block, drawn at random; of a block with fewer some count twice.
        source: The archive's folder, or the folder that holds it.
        test_area: Number of the area that is tested, 1 to 6.
        block: Side of a block, in metres.
        min_points: Blocks with fewer points are left away.
        seed: Seed of the sampling.
        transform: Called with each item that is taken.
        strict: Raise at the first unusable room instead of leaving it out.
        force_reload: Read the files again even if there is a cache.
        progress: Whether to show a bar; :obj:`None`: where the error output is a terminal.
        features: ``"colors"`` or nothing.

    Raises:
        DataError: Nothing usable is there; or, with ``strict``, a line of a file is damaged, which
            is named with its file.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import S3DIS
        >>> from mgic_geo.testing import write_tiny_s3dis
        >>> with TemporaryDirectory() as folder:  # three rooms in the layout of the archive
        ...     _ = write_tiny_s3dis(f"{folder}/raw")
        ...     dataset = S3DIS(folder, "test", num_points=64, min_points=20, progress=False)
        >>> dataset.names, [dataset.classes[i] for i in dataset[0].y.unique()]
        (('Area_5/hallway_1/0000', 'Area_5/hallway_1/0001'), ['ceiling', 'floor', 'clutter'])
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        num_points: int = 1024,
        source: str | os.PathLike[str] | None = None,
        test_area: int = 5,
        block: float = 1.0,
        min_points: int = 128,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        strict: bool = False,
        force_reload: bool = False,
        progress: bool | None = None,
        features: str | Sequence[str] = (),
    ) -> None:
        features = parse_features(features)
        if split not in ("train", "test"):
            raise DataError(f"split must be 'train' or 'test', got {split!r}")
        if num_points < 1 or min_points < 1 or not block > 0.0 or not 1 <= test_area <= 6:
            raise DataError(
                "num_points and min_points must be at least 1, block positive and test_area 1 to "
                f"6, got {num_points}, {min_points}, {block:g} and {test_area}"
            )
        if set(features) - {"colors"}:
            raise DataError(f"features = {','.join(features)}: S3DIS has colors alone")
        root = Path(root).expanduser()
        folder = _folder(root / "raw" if source is None else Path(source).expanduser())
        areas = [area for area in S3DIS_AREAS if (area == f"Area_{test_area}") == (split == "test")]
        rooms = _rooms(folder, areas)

        def build() -> SampledClouds:
            return read_all(
                [(f"{room.parent.name}/{room.name}", room) for room in rooms],
                partial(_clouds, num_points, block, min_points, seed, bool(features)),
                "S3DIS",
                "room",
                f"no block of {len(rooms)} rooms has {min_points} points",
                strict,
                progress,
            )

        settings = {
            "points": num_points,
            "block": block,
            "least": min_points,
            "seed": seed,
            "features": features,
            "strict": strict,
            "rooms": [
                (f"{room.parent.name}/{room.name}/{file.name}", file.stat().st_size)
                for room in rooms
                for file in _files(room)
            ],
        }
        path = cache_path(root, f"s3dis_{split}", settings)
        sampled = build_once(path, load_cache, build, save_cache, force_reload)
        good = len({name.rpartition("/")[0] for name in sampled.names})
        report_bad(sampled.bad_files, good, folder, strict, "rooms")
        points, label = unpack(sampled)
        super().__init__(
            points,
            label,
            S3DIS_CLASSES,
            sampled.labels,
            S3DIS_AREAS,
            sampled.names,
            root,
            transform,
            features,
        )
        self.split, self.seed, self.bad_files = split, seed, sampled.bad_files


def _folder(source: Path) -> Path:
    inner = source / S3DIS_FOLDER
    folder = inner if inner.is_dir() else source
    if not any((folder / area).is_dir() for area in S3DIS_AREAS):
        raise DataError(
            f"{folder}: S3DIS is not here (no folder Area_1 to Area_6); unpack its archive and "
            f"give the folder {S3DIS_FOLDER} as source"
        )
    return folder


def _rooms(folder: Path, areas: Sequence[str]) -> list[Path]:
    """The rooms of the areas that are there."""
    rooms = [
        room
        for area in areas
        for room in sorted((folder / area).glob("*"))
        if (room / "Annotations").is_dir()
    ]
    if not rooms:
        raise DataError(f"{folder}: no room with a folder Annotations in {', '.join(areas)}")
    return rooms


def _files(room: Path) -> list[Path]:
    return sorted((room / "Annotations").glob("*.txt"))


def _clouds(
    num_points: int, block: float, min_points: int, seed: int, colors: bool, room: Path
) -> Iterator[Labelled]:
    """The clouds of a room, one a block."""
    area = room.parent.name
    rows, label = _room(room)
    values = np.concatenate([rows[:, :3], rows[:, 3:] / 255.0], axis=1)
    for number, members in enumerate(_blocks(rows[:, :2], block, min_points)):
        name = f"{area}/{room.name}/{number:04d}"
        rng = np.random.default_rng(shape_seed(seed, area, name))
        chosen = members[choose(len(members), num_points, rng)]
        points = values[chosen, : 6 if colors else 3]
        yield Labelled(points, label[chosen], S3DIS_AREAS.index(area), name)


def _room(room: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All points of a room ``[N, 6]`` and their classes ``[N]``."""
    rows, labels = [], []
    for file in _files(room):
        name = re.sub(r"_\d+$", "", file.stem)
        label = S3DIS_CLASSES.index(name if name in S3DIS_CLASSES else "clutter")
        rows.append(read_rows(file, _FORM))
        labels.append(np.full(len(rows[-1]), label))
    if not rows:
        raise DataError(f"{room / 'Annotations'}: holds no file <class>_<number>.txt")
    return np.concatenate(rows), np.concatenate(labels)


def _blocks(plan: NDArray[np.float64], block: float, min_points: int) -> list[NDArray[np.int64]]:
    """The points of each block of the floor plan ``[N, 2]``, in the order of rows of blocks."""
    cell = np.floor((plan - plan.min(axis=0)) / block).astype(np.int64)
    key = cell[:, 0] * (cell[:, 1].max() + 1) + cell[:, 1]
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order])) + 1
    return [members for members in np.split(order, starts) if len(members) >= min_points]
