"""ShapeNet-Part, from the folder of its published archive."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
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
from mgic_geo.datasets._text_rows import line_of, read_rows
from mgic_geo.errors import DataError
from mgic_geo.io import parse_features

SHAPENET_PART_FOLDER = "shapenetcore_partanno_segmentation_benchmark_v0_normal"
# Categories with the number of their parts; labels count through all of them.
_PARTS = {
    "Airplane": 4,
    "Bag": 2,
    "Cap": 2,
    "Car": 4,
    "Chair": 4,
    "Earphone": 3,
    "Guitar": 3,
    "Knife": 2,
    "Lamp": 4,
    "Laptop": 2,
    "Motorbike": 6,
    "Mug": 2,
    "Pistol": 3,
    "Rocket": 3,
    "Skateboard": 3,
    "Table": 3,
}
SHAPENET_CATEGORIES = tuple(name.lower() for name in _PARTS)
#: The archive has numbers alone; names are the category and the number within it.
SHAPENET_PARTS = tuple(
    f"{name.lower()}_{part}" for name, count in _PARTS.items() for part in range(count)
)
_FORM = "x y z nx ny nz label"
_SPLITS = ("train", "val", "test")


class ShapeNetPart(PointLabelDataset):
    """ShapeNet-Part, 16 categories of shapes with 50 parts, from where its archive was unpacked.

    16,881 shapes of `"A Scalable Active Framework for Region Annotation in 3D Shape Collections"
    <https://doi.org/10.1145/2980179.2980238>`_ in the layout of
    ``shapenetcore_partanno_segmentation_benchmark_v0_normal``: ``synsetoffset2category.txt``, a
    folder of text files ``x y z nx ny nz label`` for each category, and lists of the splits in
    ``train_test_split``. Items are ``Data(pos=[n, 3], y=[n], category=[1], name=str)``, y up as in
    the files. As its protocol has it, the category of a shape is known, and only its parts count,
    see :func:`~mgic_geo.training.evaluate_points`.

    Args:
        root: Folder of the data set: ``raw/`` holds the archive's folder where ``source`` is not
            given, ``processed/`` what was read of it.
        split: ``"train"``, ``"val"`` or ``"test"``.
        num_points: Points a shape, drawn at random; of a shape with fewer some count twice.
        source: The archive's folder, or the folder that holds it.
        seed: Seed of the sampling.
        transform: Called with each item that is taken.
        strict: Raise at the first unusable file instead of leaving it out.
        force_reload: Read the files again even if there is a cache.
        progress: Whether to show a bar; :obj:`None`: where the error output is a terminal.
        features: ``"normals"`` or nothing.

    Raises:
        DataError: Nothing usable is there; or, with ``strict``, a line of a file is damaged, which
            is named with its file.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import ShapeNetPart
        >>> from mgic_geo.testing import write_tiny_shapenet_part
        >>> with TemporaryDirectory() as folder:  # two categories in the layout of the archive
        ...     _ = write_tiny_shapenet_part(f"{folder}/raw")
        ...     dataset = ShapeNetPart(folder, split="train", num_points=16, progress=False)
        >>> [dataset.classes[i] for i in dataset[0].y.unique()]
        ['chair_0', 'chair_1']
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        num_points: int = 1024,
        source: str | os.PathLike[str] | None = None,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        strict: bool = False,
        force_reload: bool = False,
        progress: bool | None = None,
        features: str | Sequence[str] = (),
    ) -> None:
        features = parse_features(features)
        if split not in _SPLITS:
            raise DataError(f"split must be one of {', '.join(_SPLITS)}, got {split!r}")
        if num_points < 1:
            raise DataError(f"num_points must be at least 1, got {num_points}")
        if set(features) - {"normals"}:
            raise DataError(f"features = {','.join(features)}: ShapeNet-Part has normals alone")
        root = Path(root).expanduser()
        folder = _folder(root / "raw" if source is None else Path(source).expanduser())
        shapes = _listed(folder, split)

        def build() -> SampledClouds:
            return read_all(
                [(shape.name, shape) for shape in shapes],
                partial(_clouds, num_points, seed, bool(features)),
                "ShapeNet-Part",
                "shape",
                f"none of the {len(shapes)} shapes can be used",
                strict,
                progress,
            )

        settings = {"points": num_points, "seed": seed, "features": features, "strict": strict}
        settings["shapes"] = [(s.name, s.file.stat().st_size if s.file.is_file() else -1)
                              for s in shapes]  # fmt: skip
        path = cache_path(root, f"shapenet_part_{split}", settings)
        sampled = build_once(path, load_cache, build, save_cache, force_reload)
        report_bad(sampled.bad_files, len(sampled.names), folder, strict, "shapes")
        points, part = unpack(sampled)
        super().__init__(
            points,
            part,
            SHAPENET_PARTS,
            sampled.labels,
            SHAPENET_CATEGORIES,
            sampled.names,
            root,
            transform,
            features,
            allowed=parts_of_categories(),
        )
        self.split, self.seed, self.bad_files = split, seed, sampled.bad_files


class _Shape(NamedTuple):
    file: Path
    category: int
    name: str


def parts_of_categories() -> torch.Tensor:
    """Which of the 50 parts belong to which of the 16 categories, bool ``[16, 50]``."""
    owner = torch.arange(len(_PARTS)).repeat_interleave(torch.tensor(list(_PARTS.values())))
    return owner == torch.arange(len(_PARTS))[:, None]


def _folder(source: Path) -> Path:
    inner = source / SHAPENET_PART_FOLDER
    folder = inner if inner.is_dir() else source
    if not (folder / "synsetoffset2category.txt").is_file():
        raise DataError(
            f"{folder}: ShapeNet-Part is not here (no synsetoffset2category.txt); unpack its "
            f"archive and give the folder {SHAPENET_PART_FOLDER} as source"
        )
    return folder


def _categories(folder: Path) -> dict[str, int]:
    """Numbers of the categories by the names of their folders."""
    path = folder / "synsetoffset2category.txt"
    found = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[0] not in _PARTS:
            raise DataError(
                f"{path}: line {number} is no category and its folder but {line[:60]!r}; "
                f"categories are {', '.join(_PARTS)}"
            )
        found[words[1]] = list(_PARTS).index(words[0])
    return found


def _listed(folder: Path, split: str) -> list[_Shape]:
    """The shapes of a split, in the order of their names."""
    path = folder / "train_test_split" / f"shuffled_{split}_file_list.json"
    try:
        entries = json.loads(path.read_text("utf-8"))
        places = [str(entry).split("/")[-2:] for entry in entries]
        pairs = sorted((synset, shape) for synset, shape in places)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: no list of shapes 'shape_data/<folder>/<name>' ({error})"
        ) from None
    categories = _categories(folder)
    if unknown := next((synset for synset, _ in pairs if synset not in categories), None):
        raise DataError(f"{path}: lists the folder {unknown}, of no category")
    if not pairs:
        raise DataError(f"{path}: lists no shape")
    return [
        _Shape(folder / synset / f"{shape}.txt", categories[synset], f"{synset}/{shape}")
        for synset, shape in pairs
    ]


def _clouds(num_points: int, seed: int, normals: bool, shape: _Shape) -> list[Labelled]:
    """The one cloud of a shape."""
    rows = _rows(shape)
    category = SHAPENET_CATEGORIES[shape.category]
    rng = np.random.default_rng(shape_seed(seed, category, shape.name))
    rows = rows[choose(len(rows), num_points, rng)]
    return [Labelled(rows[:, : 6 if normals else 3], rows[:, 6], shape.category, shape.name)]


def _rows(shape: _Shape) -> NDArray[np.float64]:
    if not shape.file.is_file():
        raise DataError(f"{shape.file}: a list of the split names it, but it is not there")
    rows = read_rows(shape.file, _FORM)
    allowed = parts_of_categories()[shape.category].nonzero().flatten().numpy()
    wrong = ~np.isin(rows[:, 6], allowed)
    if wrong.any():
        first = int(wrong.argmax())
        raise DataError(
            f"{shape.file}: line {line_of(shape.file, first)} has the label {rows[first, 6]:g}; "
            f"those of its category are {allowed[0]} to {allowed[-1]}"
        )
    return rows
