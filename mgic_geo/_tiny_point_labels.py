"""Small files in the layouts of published clouds with a class for each point."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

_SYNSETS = {"Chair": ("03001627", 12), "Mug": ("03797390", 36)}  # with their first label
_ROOMS = (("Area_1", "office_1"), ("Area_1", "office_2"), ("Area_5", "hallway_1"))
_LAYERS = {"floor_1": 0.0, "ceiling_1": 2.5, "stairs_1": 1.0}  # with their heights


def write_tiny_shapenet_part(folder: str | os.PathLike[str], seed: int = 0) -> Path:
    """Writes two categories of ShapeNet-Part, a shape of each in each split.

    The upper half of a shape is its second part, the lower half its first. Test shapes have 8
    points.

    Args:
        folder: Where to put the archive's folder.
        seed: Decides the points.

    Returns:
        The archive's folder.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.testing import write_tiny_shapenet_part
        >>> with TemporaryDirectory() as folder:
        ...     tree = write_tiny_shapenet_part(folder)
        ...     print(*sorted(path.name for path in tree.iterdir()))
        03001627 03797390 synsetoffset2category.txt train_test_split
    """
    rng = np.random.default_rng(seed)
    tree = Path(folder) / "shapenetcore_partanno_segmentation_benchmark_v0_normal"
    (tree / "train_test_split").mkdir(parents=True)
    lines = [f"{name}\t{synset}\n" for name, (synset, _) in _SYNSETS.items()]
    (tree / "synsetoffset2category.txt").write_text("".join(lines), "utf-8")
    for split, count in (("train", 40), ("val", 30), ("test", 8)):
        listed = []
        for synset, first in _SYNSETS.values():
            points, normals = rng.random((count, 3)), rng.random((count, 3))
            label = first + (points[:, 2] > 0.5)
            (tree / synset).mkdir(exist_ok=True)
            rows = np.concatenate([points, normals, label[:, None]], axis=1)
            np.savetxt(tree / synset / f"{split}1.txt", rows, "%.6f")
            listed.append(f"shape_data/{synset}/{split}1")
        path = tree / "train_test_split" / f"shuffled_{split}_file_list.json"
        path.write_text(json.dumps(listed[::-1]), "utf-8")
    return tree


def write_tiny_s3dis(folder: str | os.PathLike[str], seed: int = 0) -> Path:
    """Writes three rooms of S3DIS, 2 by 1 metres, in areas 1 and 5.

    Each has a floor at 0, a ceiling at 2.5 and stairs, which are clutter, at 1 metre, of 60 points.

    Args:
        folder: Where to put the archive's folder.
        seed: Decides the points.

    Returns:
        The archive's folder.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.testing import write_tiny_s3dis
        >>> with TemporaryDirectory() as folder:
        ...     tree = write_tiny_s3dis(folder)
        ...     print(*sorted(path.name for path in tree.glob("*/*")))
        hallway_1 office_1 office_2
    """
    rng = np.random.default_rng(seed)
    tree = Path(folder) / "Stanford3dDataset_v1.2_Aligned_Version"
    for area, room in _ROOMS:
        inside = tree / area / room / "Annotations"
        inside.mkdir(parents=True)
        for name, height in _LAYERS.items():
            pos = rng.random((60, 3)) * [1.99, 0.99, 0.1] + [10.0, 20.0, height]
            color = rng.integers(0, 256, (60, 3))
            np.savetxt(inside / f"{name}.txt", np.concatenate([pos, color], axis=1), "%.3f")
    return tree
