from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mgic_geo.datasets import sample_points
from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.scans import UPRIGHT, find_floor, find_objects, find_strays, turn_upright
from mgic_geo.scans.objects import dbscan

Points = NDArray[np.float64]


def points_of(kind: str, count: int = 400, seed: int = 1) -> Points:
    return sample_points(furniture_mesh(kind, seed), count, seed=0).astype(np.float64)


def with_floor(points: Points, margin: float = 0.5, tilt: float = 0.0) -> Points:
    low, high = points.min(axis=0), points.max(axis=0)
    rng = np.random.default_rng(0)
    floor = rng.random((600, 3)) * (high - low + 2 * margin) + low - margin
    floor[:, 2] = low[2] + tilt * floor[:, 0]
    return np.concatenate([points, floor])


@pytest.mark.parametrize("up", UPRIGHT)
def test_each_axis_turns_up_and_nothing_is_mirrored(up: str) -> None:
    sign, axis = (-1.0, up[1]) if up[0] == "-" else (1.0, up)
    vector = np.zeros((1, 3))
    vector[0, "xyz".index(axis)] = sign
    assert turn_upright(vector, up).tolist() == [[0.0, 0.0, 1.0]]
    assert np.linalg.det(np.array(UPRIGHT[up])) == pytest.approx(1.0)


def test_strays_are_those_of_open3d() -> None:
    open3d = pytest.importorskip("open3d", reason="the reference is Open3D's (extra mesh)")
    rng = np.random.default_rng(0)
    points = np.concatenate([points_of("chair"), 2 * rng.random((20, 3)) - 0.5])
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    for neighbors, ratio in ((20, 2.0), (8, 3.0)):
        _, kept = cloud.remove_statistical_outlier(neighbors, ratio)
        found = np.flatnonzero(~find_strays(points, neighbors, ratio))
        assert found.tolist() == sorted(kept)


def test_clusters_are_those_of_open3d() -> None:
    open3d = pytest.importorskip("open3d", reason="the reference is Open3D's (extra mesh)")
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(100, 3)) + 4 * i for i in range(3)])
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    theirs, ours = np.asarray(cloud.cluster_dbscan(0.9, 8)), dbscan(points, 0.9, 8)
    assert ((theirs < 0) == (ours < 0)).all()
    core = np.linalg.norm(points[:, None] - points, axis=2) <= 0.9
    core = core.sum(axis=1) >= 8
    assert 2 <= len(set(ours[core])) == len(set(theirs[core]))
    assert len(set(zip(ours[core], theirs[core]))) == len(set(ours[core]))


def test_strays_are_found_and_a_small_cloud_keeps_all() -> None:
    chair = points_of("chair")
    away = np.array([[2.0, 0, 0], [0, 2, 0], [0, 0, 4]])
    found = find_strays(np.concatenate([chair, away]))
    assert found[-3:].all()
    assert found[:-3].mean() < 0.05
    assert not find_strays(chair[:20]).any()


@pytest.mark.parametrize("kind", ["chair", "table", "sofa", "dresser", "toilet"])
@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_a_floor_is_found_and_furniture_is_left_alone(kind: str, unit: float) -> None:
    points = unit * points_of(kind)
    assert not find_floor(points).any()
    on_floor = with_floor(points, 0.5 * unit, tilt=0.05)
    found = find_floor(on_floor)
    assert found[len(points) :].mean() > 0.95
    assert found[: len(points)].mean() < 0.2


def test_what_is_no_floor() -> None:
    table = points_of("table")
    wall = with_floor(table)[:, [2, 1, 0]]
    above = with_floor(table * [1, 1, -1]) * [1, 1, -1]
    flat = with_floor(table)[len(table) :]
    assert not any(find_floor(cloud).any() for cloud in (wall, above, flat, table[:12]))


def test_objects_side_by_side_are_told_apart_and_parts_above_each_other_are_not() -> None:
    chair, table = points_of("chair"), points_of("table", 300)
    beside = table + np.array([3.0, 0.0, 0.0])
    found = find_objects(np.concatenate([chair, beside]))
    assert (found[:400] == 0).mean() > 0.98
    assert (found[400:] == 1).mean() > 0.98
    lamp = np.concatenate([chair, chair * [0.5, 0.5, 0.2] + [0, 0, 3.0]])
    assert find_objects(lamp).max() == 0
    assert find_objects(chair[:5]).tolist() == [0] * 5


def test_many_points_follow_those_that_are_looked_at() -> None:
    chair = points_of("chair", 6000)
    found = find_objects(np.concatenate([chair, chair + np.array([4.0, 0.0, 0.0])]))
    assert (found[:6000] == found[0]).mean() > 0.98
    assert set(found[found >= 0]) == {0, 1}
