from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mgic_geo.errors import DataError
from mgic_geo.viz import class_colors, draw_cloud, plot_point_labels

pytest.importorskip("matplotlib", reason="pictures need the extra viz")

CLOUDS = [torch.rand(30, 3), np.random.default_rng(0).random((5, 3))]
LABELS = [torch.arange(30) % 4 - 1, np.zeros(5, int)]


def test_writes_one_whole_picture(tmp_path: Path) -> None:
    path = plot_point_labels(CLOUDS, LABELS, ["arm", "leg", "top"], tmp_path / "a.png", ["x", ""])
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]


def test_points_have_the_colours_of_their_classes() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    colors = class_colors(3)[[2, 0, 1]]
    # the last is the nearest to the viewer, the first the farthest
    cloud = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    draw_cloud(axes, cloud, azimuth=0.0, elevation=0.0, colors=colors)
    (dots,) = axes.collections
    np.testing.assert_allclose(dots.get_facecolor()[:, :3], colors / 255.0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"labels": LABELS[:1]}, "2 clouds, 1 labels and 2 titles"),
        ({"titles": ["one"]}, "2 clouds, 2 labels and 1 titles"),
        ({"labels": [LABELS[0], np.zeros(4)]}, r"its labels \[n\], got \[5, 3\] and \[4\]"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        plot_point_labels(
            **{"clouds": CLOUDS, "labels": LABELS, "classes": ["a"], **arguments},
            path=tmp_path / "a.png",
        )
