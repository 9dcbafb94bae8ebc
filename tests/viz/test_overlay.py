from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mgic_geo.errors import DataError
from mgic_geo.viz import class_colors, draw_overlay

image_module = pytest.importorskip("PIL.Image", reason="overlays need the extra images")


def test_colors_are_distinct_and_keep_their_place() -> None:
    colors = class_colors(150).astype(int)
    distance = np.abs(colors[:, None] - colors).sum(axis=-1) + 1000 * np.eye(150)
    assert distance[:24, :24].min() > 75
    assert distance.min() > 0
    assert (class_colors(5) == colors[:5]).all()


def test_pixels_are_mixed_with_the_colour_of_their_class(tmp_path: Path) -> None:
    image = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8)
    mask = torch.zeros(20, 30, dtype=torch.long)
    mask[:, 10:20], mask[:, 20:] = 1, 255  # the last has no class
    path = draw_overlay(image, mask, ("road", "sky"), tmp_path / "new" / "o.png", opacity=0.25)
    with image_module.open(path) as opened:
        found = np.asarray(opened).astype(float)
    plain, colors = image.permute(1, 2, 0).numpy(), class_colors(2)
    for c, columns in enumerate((slice(0, 10), slice(10, 20))):
        expected = 0.75 * plain[:, columns] + 0.25 * colors[c]
        assert np.abs(found[:20, columns] - expected).max() <= 0.5
    assert (found[:20, 20:] == plain[:, 20:]).all()
    legend = found[20:].reshape(-1, 3)
    assert all((legend == color).all(axis=1).any() for color in colors)


def test_what_does_not_fit(tmp_path: Path) -> None:
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"image \[3, 4, 4\] and mask \[4, 5\] do not fit"):
        draw_overlay(image, torch.zeros(4, 5), ("a",), tmp_path / "o.png")
    with pytest.raises(DataError, match=r"overlays are written as .png"):
        draw_overlay(image, torch.zeros(4, 4), ("a",), tmp_path / "o.jpg")
