from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mgic_geo.errors import DataError
from mgic_geo.viz import plot_clouds
from mgic_geo.viz.clouds import _project

pytest.importorskip("matplotlib", reason="pictures need the extra viz")

CLOUDS = [torch.rand(30, 3), np.zeros((1, 3)), np.random.default_rng(0).random((5, 3))]
NAMES = ["chair", "", "table"]


@pytest.mark.parametrize("name", ["a.png", "a.svg", "new/folder/a.pdf"])
def test_writes_one_whole_picture(tmp_path: Path, name: str) -> None:
    path = plot_clouds(CLOUDS, NAMES, tmp_path / name, columns=2)
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    assert path == tmp_path / name
    assert path.read_bytes().startswith(starts[path.suffix])
    assert list(path.parent.iterdir()) == [path]


def test_nearer_is_nearer_and_up_is_up() -> None:
    front, top, right = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0]), np.eye(3)[0]
    seen = _project(np.stack([front, top, right]), azimuth=0.0, elevation=30.0)
    np.testing.assert_allclose(seen[0], [0.0, -0.5, -np.sqrt(0.75)], atol=1e-12)
    np.testing.assert_allclose(seen[1], [0.0, np.sqrt(0.75), -0.5], atol=1e-12)
    np.testing.assert_allclose(seen[2], [1.0, 0.0, 0.0], atol=1e-12)
    turned = _project(np.eye(3)[:1], azimuth=90.0, elevation=0.0)
    np.testing.assert_allclose(turned[0], [0.0, 0.0, -1.0], atol=1e-12)  # seen from +x


@pytest.mark.parametrize(
    ("clouds", "labels", "name", "message"),
    [
        ([], [], "a.png", "0 clouds"),
        (CLOUDS, NAMES[:2], "a.png", "3 clouds and 2 labels"),
        ([np.zeros((4, 2))], ["a"], "a.png", r"got shape \[4, 2\]"),
        ([np.full((4, 3), np.inf)], ["a"], "a.png", "finite"),
        (CLOUDS, NAMES, "a.bmp3", "a.bmp3: pictures are written as"),
    ],
)
def test_refuses_and_writes_nothing(tmp_path: Path, clouds, labels, name, message) -> None:
    with pytest.raises(DataError, match=message):
        plot_clouds(clouds, labels, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
