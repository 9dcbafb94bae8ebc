from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.transforms import normalize_sphere
from mgic_geo.transforms.corruptions import CORRUPTIONS, MODELNET_C, corrupt, hide_points


def cloud() -> Tensor:
    box = torch.rand(1024, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    face = torch.arange(1024) % 3
    box[torch.arange(1024), face] = box[torch.arange(1024), face].sign() / 2  # the surface
    return normalize_sphere(box * torch.tensor([1.0, 0.6, 0.4]))


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_seeded_and_nothing_in_place(kind: str) -> None:
    pos = cloud()
    one, two = corrupt(pos, kind, 3, seed=5), corrupt(pos, kind, 3, seed=5)
    assert torch.equal(one, two)
    assert torch.equal(pos, cloud())
    assert bool(one.isfinite().all())
    if kind not in ("up", "quantise"):  # nothing is random there
        assert not torch.equal(one[-20:], corrupt(pos, kind, 3, seed=6)[-20:])


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("scale", (1024,) * 5),
        ("jitter", (1024,) * 5),
        ("rotate", (1024,) * 5),
        ("drop_global", (768, 640, 512, 333, 256)),
        ("drop_local", (924, 824, 724, 624, 524)),
        ("add_global", (1034, 1044, 1054, 1064, 1074)),
        ("add_local", (1124, 1224, 1324, 1424, 1524)),
        ("density", (512,) * 5),
    ],
)
def test_counts_of_points(kind: str, counts: tuple[int, ...]) -> None:
    assert tuple(len(corrupt(cloud(), kind, s)) for s in range(1, 6)) == counts


def test_counts_follow_the_size_of_the_cloud() -> None:
    assert len(corrupt(cloud()[::2], "add_local", 5)) == 512 + 250


def test_scale_stays_between_its_factors() -> None:
    pos = cloud()
    ratios = []
    for seed in range(50):
        out = corrupt(pos, "scale", 5, seed)
        side = (out.amax(dim=0) - out.amin(dim=0)) / (pos.amax(dim=0) - pos.amin(dim=0))
        ratios.append(float(side.max() / side.min()))
        assert float(out.norm(dim=1).max()) == pytest.approx(1.0, abs=1e-5)
    assert 2.0 < max(ratios) <= 4.0


def test_jitter_has_its_standard_deviation() -> None:
    for severity in range(1, 6):
        moved = corrupt(cloud(), "jitter", severity) - cloud()
        assert float(moved.std()) == pytest.approx(severity / 100, rel=0.05)


def test_rotations_keep_distances_and_stay_below_their_angle() -> None:
    pos = cloud().double()
    for seed in range(20):
        out = corrupt(pos, "rotate", 5, seed)
        assert torch.allclose(out.norm(dim=1), pos.norm(dim=1))
        matrix = torch.linalg.lstsq(pos, out).solution.T
        assert float(torch.linalg.det(matrix)) == pytest.approx(1.0)
        z = math.degrees(math.acos(float(matrix[2, 2])))  # of the vertical, by x and y
        assert z <= math.degrees(math.acos(math.cos(math.pi / 6) ** 2)) + 1e-4


def test_a_heading_leaves_the_height() -> None:
    out = [corrupt(cloud(), "heading", 5, seed) for seed in range(40)]
    assert all(torch.equal(turned[:, 2], cloud()[:, 2]) for turned in out)
    angles = [math.atan2(float(turned[0, 1]), float(turned[0, 0])) for turned in out]
    assert max(angles) - min(angles) > 5.0  # of 2 pi


def test_the_five_other_axes_point_up_once_each() -> None:
    z = torch.tensor([[0.1, 0.2, 1.0]])
    turned = [corrupt(z, "up", severity)[0] for severity in range(1, 6)]
    tips = {(int(p.abs().argmax()), bool(p[p.abs().argmax()] > 0)) for p in turned}
    assert tips == {(0, True), (0, False), (1, True), (1, False), (2, False)}
    matrices = [corrupt(torch.eye(3), "up", severity).T for severity in range(1, 6)]
    assert all(float(torch.linalg.det(m)) == pytest.approx(1.0) for m in matrices)  # no mirrors


def test_more_viewers_see_more() -> None:
    counts = [len(corrupt(cloud(), "view", severity)) for severity in range(1, 6)]
    assert counts[0] > 700 > 650 > counts[4]
    assert counts == sorted(counts, reverse=True)


def test_quantised_points_lie_on_a_lattice_and_stand_once() -> None:
    out = corrupt(cloud(), "quantise", 5)
    assert torch.allclose(out / 0.1, (out / 0.1).round(), atol=1e-4)
    assert len(out.unique(dim=0)) == len(out) < 1024


def test_strays_are_uniform_in_the_unit_sphere() -> None:
    strays = torch.cat([corrupt(cloud(), "add_global", 5, seed)[1024:] for seed in range(100)])
    radius = strays.norm(dim=1)
    assert float(radius.max()) <= 1.0
    assert float((radius**3).mean()) == pytest.approx(0.5, abs=0.02)
    assert bool((strays.mean(dim=0).abs() < 0.03).all())


def test_hidden_points_of_a_sphere() -> None:
    sphere = F.normalize(torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    seen = hide_points(sphere, torch.tensor([3.0, 0.0, 0.0]))
    assert bool(seen[sphere[:, 0] > 0.5].float().mean() > 0.9)
    # from 3 radii away the horizon is at a third of the radius
    assert not bool(seen[sphere[:, 0] < 0.1].any())


def test_on_a_plane_through_the_viewer_nothing_is_hidden() -> None:
    plane = torch.rand(50, 3) * torch.tensor([1.0, 1.0, 0.0])
    assert bool(hide_points(plane, torch.tensor([3.0, 0.0, 0.0])).all())


def test_refusals() -> None:
    with pytest.raises(DataError, match="use one of scale"):
        corrupt(cloud(), "rain", 1)
    with pytest.raises(DataError, match="1 to 5"):
        corrupt(cloud(), "scale", 6)
    with pytest.raises(DataError, match=r"\[n, 3\]"):
        corrupt(cloud()[None], "scale", 1)
    with pytest.raises(DataError, match="stands on a point"):
        hide_points(cloud(), cloud()[3])
    with pytest.raises(DataError, match="at least 4 points"):
        hide_points(cloud()[:3], torch.ones(3))
    assert set(MODELNET_C) < set(CORRUPTIONS)
