from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.transforms import deform_clouds, normalize_sphere
from mgic_geo.transforms.deform import euler_rotation


def clouds(size: int = 3) -> Tensor:
    return torch.rand(size, 60, 3, dtype=torch.float64, generator=seeded(9)) - 0.5


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_without_scale_turn_and_shift_only_place_and_size_change() -> None:
    out = deform_clouds(clouds(), seeded(0), scale=1.0, rotate_degrees=0.0, shift=0.0)
    assert torch.allclose(out, normalize_sphere(clouds()), atol=1e-12)


def test_one_anchor_is_one_affine_map() -> None:
    pos = clouds(1)
    out = deform_clouds(pos, seeded(0), anchors=1)[0]
    columns = torch.cat([pos[0], torch.ones(60, 1, dtype=pos.dtype)], dim=1)
    fitted = columns @ torch.linalg.lstsq(columns, out).solution
    assert torch.allclose(fitted, out, atol=1e-10)
    several = deform_clouds(pos, seeded(0), anchors=4)[0]
    fitted = columns @ torch.linalg.lstsq(columns, several).solution
    assert float((fitted - several).abs().max()) > 0.01


def test_near_points_stay_near() -> None:
    pos = clouds(1)
    moved = pos + 1e-6
    both = torch.cat([pos, moved], dim=1)  # the same draws for both
    out = deform_clouds(both, seeded(3))[0]
    assert float((out[:60] - out[60:]).norm(dim=1).max()) < 1e-4


def test_points_may_come_in_any_order_but_for_the_first_anchor() -> None:
    pos = clouds(1)
    order = torch.randperm(60, generator=seeded(1))
    first = int(torch.randint(60, (1, 1), generator=seeded(0)))
    order[order == first], order[first] = order[first].clone(), first  # the same first anchor
    out = deform_clouds(pos, seeded(0))
    assert torch.allclose(deform_clouds(pos[:, order], seeded(0)), out[:, order], atol=1e-12)


def test_euler_angles_turn_about_x_then_y_then_z() -> None:
    quarter = torch.pi / 2
    x, y, z = torch.eye(3, dtype=torch.float64)
    about_x, about_z = (euler_rotation(quarter * axis) for axis in (x, z))
    assert torch.allclose(about_x @ y, z, atol=1e-12)
    assert torch.allclose(about_z @ x, y, atol=1e-12)
    both = euler_rotation(quarter * (x + z))
    assert torch.allclose(both, about_z @ about_x, atol=1e-12)


@pytest.mark.parametrize(
    "options", [{"anchors": 0}, {"bandwidth": 0.0}, {"scale": 0.5}, {"shift": -1.0}]
)
def test_refusals(options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="anchors must be"):
        deform_clouds(clouds(), **options)
    with pytest.raises(DataError, match=r"\[B, n, 3\]"):
        deform_clouds(torch.zeros(4, 3))
