from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mgic_geo.errors import DataError
from mgic_geo.transforms import view_directions, visible_points


def test_of_a_sphere_the_near_half_is_seen_from_anywhere() -> None:
    sphere = F.normalize(torch.randn(1, 4000, 3, generator=torch.Generator().manual_seed(0)), dim=2)
    sphere = sphere.expand(5, -1, -1)
    direction = view_directions(5, torch.Generator().manual_seed(1), (-90.0, 90.0))
    seen = visible_points(sphere, direction, cell=0.1, tolerance=0.4)
    height = (sphere * direction[:, None]).sum(dim=2)
    assert bool(seen[height > 0.3].float().mean() > 0.99)
    assert bool(seen[height < -0.4].float().mean() < 0.03)


def test_neither_length_of_the_direction_nor_company_nor_order_matters() -> None:
    generator = torch.Generator().manual_seed(0)
    pos, direction = torch.rand(4, 200, 3, generator=generator), view_directions(4, generator)
    seen = visible_points(pos, direction)
    assert torch.equal(visible_points(pos, 7.0 * direction), seen)
    order = torch.randperm(200, generator=generator)
    assert torch.equal(visible_points(pos[:, order], direction), seen[:, order])
    for i in range(4):
        assert torch.equal(visible_points(pos[i : i + 1], direction[i : i + 1])[0], seen[i])


def test_what_is_behind_is_hidden_up_to_the_tolerance() -> None:
    column = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, -0.2], [0.0, 0.0, -0.21]]])
    above = torch.tensor([[0.0, 0.0, 1.0]])
    assert visible_points(column, above, cell=0.2).tolist() == [[True, True, False]]
    assert visible_points(column, above, 0.2, tolerance=0.0).tolist() == [[True, False, False]]


@pytest.mark.parametrize("up", [0, 1, 2])
def test_viewers_stand_at_the_elevations_asked_for(up: int) -> None:
    generator = torch.Generator().manual_seed(0)
    directions = view_directions(1000, generator, elevation=(-10.0, 60.0), up=up)
    assert torch.allclose(directions.norm(dim=1), torch.ones(1000))
    degrees = torch.rad2deg(torch.asin(directions[:, up]))
    assert -10.1 < float(degrees.min()) < 0.0 < 50.0 < float(degrees.max()) < 60.1
    horizontal = [axis for axis in range(3) if axis != up]
    assert bool((directions[:, horizontal].mean(dim=0).abs() < 0.1).all())


def test_refusals() -> None:
    with pytest.raises(DataError, match=r"direction \[B, 3\]"):
        visible_points(torch.zeros(2, 5, 3), torch.zeros(3))
    with pytest.raises(DataError, match="must be positive"):
        visible_points(torch.zeros(1, 5, 3), torch.ones(1, 3), cell=0.0)
