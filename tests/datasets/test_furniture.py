from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mgic_geo.datasets.furniture import Furniture10, _solids, furniture_mesh, write_off_tree
from mgic_geo.datasets.furniture._solids import Solid
from mgic_geo.datasets.furniture.shapes import _FAMILIES, CLASSES
from mgic_geo.errors import DataError
from mgic_geo.io import read_off
from mgic_geo.transforms import NormalizeSphere, normalize_sphere

CIRCLE = [(float(x), float(y), 0.0) for x, y in _solids.arc(1.0, 1.0, 0.0, 360.0, 21)[:-1]]
SOLIDS = {
    "box": _solids.box(1.0, 2.0, 3.0),
    "tapered": _solids.box(1.0, 1.0, 1.0, foot=0.5),
    "rod": _solids.rod(1.0, 1.0),
    "cushion": _solids.cushion(1.0, 1.0, 1.0),
    "bowl": _solids.stack((1.0, 1.0, 0.0), (2.0, 2.0, 1.0), (1.8, 1.8, 1.0), (0.8, 0.8, 0.2)),
    "tube": _solids.tube([(0, 0, 0), (0, 0, 1), (0, 1, 1)], 0.1, (1, 0, 0)),
    "band": _solids.band([(0, 0, 0), (1, 0, 0), (1, 1, 0)], 0.1, 0.5, (0, 0, 1)),
    "ring": _solids.tube(CIRCLE, 0.1, (0, 0, 1), closed=True),
    "mirrored": _solids.box(1.0, 2.0, 3.0).stretch(x=-1.0),
    "turned": _solids.box(1.0, 2.0, 3.0).turn(40.0, axis=1).at(1.0, 2.0, 3.0),
}


def volume(solid: Solid) -> float:
    a, b, c = (solid.vertices[solid.faces[:, column]] for column in range(3))
    return float((np.cross(a, b) * c).sum() / 6.0)


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_are_closed_with_faces_outward(name: str) -> None:
    faces = SOLIDS[name].faces
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(set(map(tuple, edges))) == len(edges)
    assert set(map(tuple, edges)) == set(map(tuple, edges[:, ::-1]))
    assert volume(SOLIDS[name]) > 0.0


def test_volumes_of_the_simple_ones() -> None:
    for name in ("box", "mirrored", "turned"):
        assert volume(SOLIDS[name]) == pytest.approx(6.0)
    assert volume(SOLIDS["tapered"]) == pytest.approx((1.0 + 0.5 + 0.25) / 3.0)


@pytest.mark.parametrize("name", CLASSES)
def test_every_shape_is_a_sound_mesh_of_household_size(name: str) -> None:
    for seed in range(60):
        mesh = furniture_mesh(name, seed).check(name)
        size = np.ptp(mesh.vertices, axis=0)
        assert mesh.vertices[:, 2].min() == pytest.approx(0.0, abs=1e-12)
        assert 0.2 < size.max() < 4.0
        assert size.min() > 0.05
        assert len(mesh.faces) < 5000


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_made_of_many_different_shapes(name: str) -> None:
    meshes = [furniture_mesh(name, seed) for seed in range(40)]
    assert len({len(mesh.faces) for mesh in meshes}) >= 10  # styles, not only proportions
    extents = np.array([np.ptp(mesh.vertices, axis=0) for mesh in meshes])
    assert (extents.std(axis=0) / extents.mean(axis=0)).min() > 0.05


@pytest.mark.parametrize(("name", "axis"), [("chair", 1), ("bed", 1), ("toilet", 1), ("sofa", 0)])
def test_backs_stand_where_modelnet_has_them(name: str, axis: int) -> None:
    behind = 0
    data = Furniture10(shapes_per_class=30, num_points=200)
    for cloud in data.points[data.labels == CLASSES.index(name)]:
        unit = (cloud - cloud.amin(0)) / (cloud.amax(0) - cloud.amin(0))
        behind += int(unit[unit[:, 2] > 0.8].median(0).values[axis] > 0.6)
    assert behind >= 20


def test_the_seed_decides_the_mesh() -> None:
    first, again, other = (furniture_mesh("desk", seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.vertices, again.vertices)
    np.testing.assert_array_equal(first.faces, again.faces)
    assert first.vertices.shape != other.vertices.shape or (first.vertices != other.vertices).any()


def test_items_and_attributes() -> None:
    data = Furniture10(shapes_per_class=3, num_points=50, transform=NormalizeSphere())
    assert data.classes == tuple(sorted(_FAMILIES))
    assert data.num_classes == 10
    assert len(data) == 30
    assert len(set(data.names)) == 30
    item = data[4]
    assert (item.pos.shape, item.pos.dtype) == ((50, 3), torch.float32)
    assert (item.y.tolist(), item.y.dtype, item.name) == ([1], torch.int64, "bed_0002")
    torch.testing.assert_close(item.pos, normalize_sphere(data.points[4]))


def test_repeatable_and_growing_without_changing_the_first() -> None:
    small, large = (Furniture10(shapes_per_class=n, num_points=40, seed=3) for n in (2, 4))
    rows = [i for i, name in enumerate(large.names) if name in small.names]
    assert torch.equal(small.points, large.points[rows])
    other = Furniture10(shapes_per_class=2, num_points=40, seed=4)
    assert not torch.equal(small.points, other.points)


def test_no_shape_is_in_both_splits() -> None:
    train, test = (Furniture10(split=split, num_points=8) for split in ("train", "test"))
    assert (len(train), len(test)) == (600, 200)
    both = {tuple(cloud) for data in (train, test) for cloud in data.points.flatten(1).tolist()}
    assert len(both) == 800


def test_kept_on_disk_under_its_settings(tmp_path: Path) -> None:
    options = {"root": tmp_path, "shapes_per_class": 1, "num_points": 20}
    made = Furniture10(**options)
    (kept,) = (tmp_path / "processed").iterdir()
    written = kept.stat().st_mtime_ns
    read = Furniture10(**options)
    assert kept.stat().st_mtime_ns == written
    assert torch.equal(made.points, read.points)
    assert made.names == read.names
    Furniture10(**options, seed=1)
    assert len(list((tmp_path / "processed").iterdir())) == 2
    kept.write_bytes(b"damaged")
    assert torch.equal(Furniture10(**options).points, made.points)


def test_written_as_a_tree_of_off_files(tmp_path: Path) -> None:
    paths = write_off_tree(tmp_path, train=2, test=1, seed=3)
    assert len(paths) == 30
    assert tmp_path / "night_stand" / "train" / "night_stand_0002.off" in paths
    mesh = read_off(tmp_path / "chair" / "test" / "chair_0001.off")
    cloud = Furniture10(split="test", shapes_per_class=1, seed=3).points[2].numpy()
    slack = 1e-3  # the cloud lies within the bounds of the mesh that it was drawn from, and near
    assert (cloud >= mesh.vertices.min(axis=0) - slack).all()
    assert (cloud <= mesh.vertices.max(axis=0) + slack).all()
    assert np.ptp(cloud, axis=0) == pytest.approx(np.ptp(mesh.vertices, axis=0), rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "val"}, "one of train, test, got 'val'"),
        ({"shapes_per_class": 0}, "at least 1"),
        ({"num_points": 0}, "at least 1"),
        ({"seed": -1}, "at least 0"),
    ],
)
def test_impossible_wishes(options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Furniture10(**options)


def test_unknown_class() -> None:
    with pytest.raises(DataError, match="unknown class 'piano'; there are bathtub, bed"):
        furniture_mesh("piano")
