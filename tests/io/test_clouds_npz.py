from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgic_geo.errors import DataError
from mgic_geo.io import load_clouds_npz

POINTS = np.random.default_rng(0).normal(size=(4, 8, 3))
GOOD: dict[str, Any] = {"points": POINTS, "label": [0, 1, 1, 0], "classes": ["bed", "sofa"]}


def write(folder: Path, **arrays: Any) -> Path:
    file = folder / "clouds.npz"
    np.savez(file, **{key: np.asarray(value) for key, value in arrays.items()})
    return file


def test_names_and_types(tmp_path: Path) -> None:
    clouds = load_clouds_npz(write(tmp_path, **GOOD))
    assert clouds.points.dtype == np.float32
    assert clouds.label.dtype == np.int64
    assert clouds.classes == ("bed", "sofa")
    assert clouds.name == ("bed_0000", "sofa_0001", "sofa_0002", "bed_0003")
    assert clouds.split is None
    named = load_clouds_npz(
        write(tmp_path, **GOOD, name=list("abcd"), split=[b"train", b"test", b"test", b"train"])
    )
    assert named.name == ("a", "b", "c", "d")
    assert named.split == ("train", "test", "test", "train")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": None}, "label missing, there are: points, classes"),
        ({"points": POINTS[..., :2]}, r"'points' must be .* not float64 of \[4, 8, 2\]"),
        ({"points": POINTS.astype("U8")}, "'points' must be numbers"),
        ({"points": POINTS[:, :0]}, "an empty data set"),
        ({"points": POINTS * 1e300}, "NaN or infinite"),
        ({"points": np.where(np.arange(4)[:, None, None] == 2, np.nan, POINTS)}, "is sofa_0002"),
        ({"label": [0, 1]}, r"'label' must be integers of shape \[4\]"),
        ({"label": [0.0, 1, 1, 0]}, "'label' must be integers"),
        ({"label": [0, 1, 2, 0]}, "labels from 0 to 2, but 2 classes"),
        ({"label": [0, -1, 1, 0]}, "labels from -1 to 1"),
        ({"classes": [0, 1]}, "'classes' must be a list of names"),
        ({"classes": ["bed", "bed"]}, "names a class twice"),
        ({"name": ["a"]}, "1 entries in 'name', 4 clouds"),
        ({"split": ["train", "test", "val", "train"]}, "not 'val'"),
    ],
)
def test_wrong_files(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    arrays = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(DataError, match=says) as error:
        load_clouds_npz(write(tmp_path, **arrays))
    assert "clouds.npz: " in str(error.value)


def test_truncated_and_foreign_files(tmp_path: Path) -> None:
    file = write(tmp_path, **GOOD)
    data = file.read_bytes()
    damaged = bytearray(data)
    damaged[300] ^= 255  # inside the points: the zip's own checksum
    for content in (data[: len(data) // 2], bytes(damaged), b"", b"no zip"):
        file.write_bytes(content)
        with pytest.raises(DataError, match="not a readable NPZ"):
            load_clouds_npz(file)
