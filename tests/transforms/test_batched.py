from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from mgic_geo.errors import DataError
from mgic_geo.transforms import augment_clouds, subset_clouds

EVERYTHING: dict[str, Any] = {
    "scale": (0.7, 1.4),
    "shift": 0.2,
    "rotate_degrees": 180.0,
    "flip": 0.5,
    "jitter": 0.02,
    "clip": 0.03,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_off_by_default_and_never_in_place() -> None:
    pos = torch.randn(3, 10, 3)
    before = pos.clone()
    assert torch.equal(augment_clouds(pos, generator()), pos)
    assert (augment_clouds(pos, generator(), **EVERYTHING) != pos).any()
    assert torch.equal(pos, before)


def test_the_generator_decides() -> None:
    pos = torch.randn(3, 10, 3)
    first = augment_clouds(pos, generator(4), **EVERYTHING)
    assert torch.equal(first, augment_clouds(pos, generator(4), **EVERYTHING))
    assert not torch.equal(first, augment_clouds(pos, generator(5), **EVERYTHING))


@pytest.mark.parametrize("up", [0, 1, 2])
def test_rotation_keeps_height_and_shape(up: int) -> None:
    pos = torch.randn(200, 6, 3, dtype=torch.float64)
    out = augment_clouds(pos, generator(), rotate_degrees=60, up=up)
    torch.testing.assert_close(out[..., up], pos[..., up])
    torch.testing.assert_close(torch.cdist(out, out), torch.cdist(pos, pos))
    torch.testing.assert_close(torch.linalg.det(out[:, :3]), torch.linalg.det(pos[:, :3]))
    flat = [axis for axis in range(3) if axis != up]
    plane_out, plane = out[:, 0, flat], pos[:, 0, flat]
    cos = (plane_out * plane).sum(1) / plane.square().sum(1)
    assert cos.min() > math.cos(math.radians(60)) - 1e-9
    assert cos.min() < 0.7  # the range is used


def test_flip_mirrors_horizontal_axes_of_about_half_the_clouds() -> None:
    out = augment_clouds(torch.ones(400, 1, 3), generator(), flip=0.5)[:, 0]
    assert (out.abs() == 1).all()
    assert (out[:, 2] == 1).all()
    assert (out[:, :2] < 0).float().mean(0).sub(0.5).abs().max() < 0.1


def test_scale_and_shift_are_one_draw_for_each_cloud_and_axis() -> None:
    ones = torch.ones(300, 4, 3)
    for options, low, high in (({"scale": (0.5, 2.0)}, 0.5, 2.0), ({"shift": 0.3}, 0.7, 1.3)):
        out = augment_clouds(ones, generator(), **options)
        assert torch.equal(out, out[:, :1].expand_as(out))
        assert out.min() >= low
        assert out.max() <= high
        assert (out[:, 0, 0] - out[:, 0, 1]).abs().min() > 0
        assert out.max() - out.min() > 0.9 * (high - low)


def test_jitter_is_normal_and_clipped() -> None:
    zeros = torch.zeros(10, 1000, 3)
    assert augment_clouds(zeros, generator(), jitter=0.1).std().item() == pytest.approx(0.1, 0.02)
    clipped = augment_clouds(zeros, generator(), jitter=0.1, clip=0.05).abs()
    assert clipped.max() == pytest.approx(0.05)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": (0.0, 1.0)},
        {"scale": (2.0, 1.0)},
        {"flip": 1.5},
        {"jitter": -1.0},
        {"up": 3},
    ],
)
def test_senseless_ranges(options: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        augment_clouds(torch.zeros(1, 2, 3), **options)


def test_subset_keeps_points_without_repeats() -> None:
    pos = torch.arange(60.0).view(4, 5, 3)
    out = subset_clouds(pos, 3, generator())
    assert out.shape == (4, 3, 3)
    for cloud, kept in zip(pos.tolist(), out.tolist()):
        assert len({tuple(point) for point in kept} & {tuple(point) for point in cloud}) == 3
    assert torch.equal(out, subset_clouds(pos, 3, generator()))
    with pytest.raises(DataError, match="cannot keep 6 points of clouds with 5"):
        subset_clouds(pos, 6)
