from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.training import AugmentConfig, augment
from mgic_geo.transforms import spoil_clouds


def spheres(size: int = 6, points: int = 2000) -> Tensor:
    return F.normalize(torch.randn(size, points, 3, generator=seeded(7)), dim=2)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def own(out: Tensor, pos: Tensor) -> Tensor:
    """Which points are points of the cloud, ``[B, m]``."""
    return torch.stack([(a[:, None] == b).all(dim=2).any(dim=1) for a, b in zip(out, pos)])


def test_nothing_asked_is_a_random_part() -> None:
    pos = spheres()
    out = spoil_clouds(pos, 300, seeded(0))
    assert out.shape == (6, 300, 3)
    assert bool(own(out, pos).all())
    assert all(len(cloud.unique(dim=0)) == 300 for cloud in out)


def test_a_view_keeps_one_half() -> None:
    out = spoil_clouds(spheres(), 300, seeded(0), view=1.0)
    # the points of a half sphere have their mean at half a radius
    assert bool((out.mean(dim=1).norm(dim=1) > 0.35).all())
    assert bool((spoil_clouds(spheres(), 300, seeded(0)).mean(dim=1).norm(dim=1) < 0.2).all())


def test_density_falls_away_from_a_viewer() -> None:
    out = spoil_clouds(spheres(), 300, seeded(0), density=1.0)
    assert bool((out.mean(dim=1).norm(dim=1) > 0.15).all())


def test_holes_take_whole_neighbourhoods() -> None:
    pos = spheres(20)
    out = spoil_clouds(pos, 400, seeded(0), holes=0.5, spoilt=1.0)
    assert bool(own(out, pos).all())
    gap = torch.cdist(pos, out).amin(dim=2).amax(dim=1)  # the largest empty place
    assert float(gap.max()) > 0.5
    plain = torch.cdist(pos, spoil_clouds(pos, 400, seeded(0))).amin(dim=2).amax(dim=1)
    assert float(plain.max()) < 0.35


@pytest.mark.parametrize("kind", ["clusters", "outliers"])
def test_foreign_points_have_at_most_their_share(kind: str) -> None:
    pos = spheres(40, 200)
    options: dict[str, Any] = {kind: 0.2}
    strays = spoil_clouds(pos, 200, seeded(0), spoilt=1.0, **options)
    foreign = 1.0 - own(strays, pos).float().mean(dim=1)
    assert 0.03 < float(foreign.mean()) < 0.17
    assert float(foreign.max()) < 0.3
    assert bool(own(spoil_clouds(pos, 200, seeded(0), spoilt=0.0, **options), pos).all())
    assert float(strays.abs().max()) <= (1.0 if kind == "outliers" else 1.7)


def test_noise_is_drawn_for_each_cloud() -> None:
    pos = spheres(30)
    out = spoil_clouds(pos, 2000, seeded(0), noise=0.1, spoilt=1.0)
    sigma = (out.norm(dim=2) - 1.0).std(dim=1)  # across the surface
    assert float(sigma.max()) < 0.11
    assert float(sigma.min()) < 0.03 < 0.06 < float(sigma.max())


def test_hidden_points_are_replaced_by_moved_copies() -> None:
    pos = spheres(3, 1600)
    out = spoil_clouds(pos, 1600, seeded(0), view=1.0)
    assert all(len(cloud.unique(dim=0)) == 1600 for cloud in out)  # no edges of length 0
    distance = torch.cdist(out, pos).amin(dim=2)
    assert 0.0 < float(distance.max()) < 0.12
    assert bool((out.mean(dim=1).norm(dim=1) > 0.35).all())


def test_features_stay_with_their_points() -> None:
    pos = torch.cat([spheres(), 2.0 * spheres()[..., :2]], dim=2)
    out = spoil_clouds(pos, 200, seeded(0), view=0.5, density=0.5, holes=0.5)
    true = own(out[..., :3], pos[..., :3])
    assert torch.equal(out[..., 3:][true], 2.0 * out[..., :2][true])


def test_the_generator_decides_and_nothing_is_in_place() -> None:
    everything: dict[str, Any] = {
        "view": 0.5, "density": 0.5, "holes": 0.4, "clusters": 0.3, "outliers": 0.1, "noise": 0.05,
    }  # fmt: skip
    pos = spheres()
    one, two, other = (spoil_clouds(pos, 200, seeded(s), **everything) for s in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(pos, spheres())


def test_the_options_of_training_reach_it() -> None:
    base: dict[str, Any] = {"scale": 0.0, "rotate_degrees": 0.0, "flip": 0.0, "jitter": 0.0}
    pos = spheres()
    plain = augment(pos, AugmentConfig(drop=0.0, **base), seeded(0))
    assert torch.equal(plain, pos)
    for name in ("deform", "view", "density", "holes", "clusters", "outliers", "noise"):
        options = {"spoilt": 1.0, "drop": 0.5, "drop_min": 0.5, name: 0.5} | base
        if name in ("deform", "view"):
            options[name] = 1.0
        spoilt = augment(pos, AugmentConfig(**options), seeded(0))
        assert spoilt.shape == (6, 1000, 3), name
        options[name] = 0.0
        assert not torch.equal(spoilt, augment(pos, AugmentConfig(**options), seeded(0))), name
    view: dict[str, Any] = {"view": 1.0, "drop": 0.5, "drop_min": 0.5} | base
    centred = augment(pos, AugmentConfig(center=1.0, **view), seeded(0))
    assert bool((centred.mean(dim=1).abs() < 1e-5).all())
    tilted = augment(pos, AugmentConfig(drop=0.0, tilt_degrees=20.0, **base), seeded(0))
    assert torch.allclose(tilted.norm(dim=2), pos.norm(dim=2), atol=1e-5)
    angle = torch.rad2deg(torch.acos((tilted * pos).sum(dim=2).clamp(-1.0, 1.0)))
    assert 1.0 < float(angle.max()) < 20.1


@pytest.mark.parametrize(
    "options", [{"view": 1.5}, {"holes": 1.0}, {"noise": -1.0}, {"num_points": 2100}]
)
def test_refusals(options: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        spoil_clouds(spheres(), **({"num_points": 100} | options))
