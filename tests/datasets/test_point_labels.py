"""Clouds with a class for each point: Furniture-10's parts, ShapeNet-Part and S3DIS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mgic_geo.datasets import (
    S3DIS,
    S3DIS_CLASSES,
    SHAPENET_PARTS,
    Furniture10,
    Furniture10Parts,
    PointLabelDataset,
    ShapeNetPart,
    open_dataset,
)
from mgic_geo.datasets._point_labels import choose
from mgic_geo.datasets.furniture import FURNITURE_PARTS, furniture_mesh, furniture_parts
from mgic_geo.datasets.furniture.shapes import CLASSES
from mgic_geo.errors import DataError
from mgic_geo.testing import write_tiny_s3dis, write_tiny_shapenet_part

# What every piece of a class has, whatever its style.
ALWAYS = {
    "bathtub": {"basin"},
    "bed": {"body", "mattress"},
    "chair": {"back", "seat"},
    "desk": {"body", "top"},
    "dresser": {"body", "drawer", "leg", "top"},
    "monitor": {"screen"},
    "night_stand": {"body", "top"},
    "sofa": {"back", "body", "seat"},
    "table": {"leg", "top"},
    "toilet": {"basin", "tank"},
}
MAYBE = {
    "bathtub": {"leg", "other"},
    "bed": {"back", "drawer", "leg", "other", "pillow"},
    "chair": {"arm", "body", "leg"},
    "desk": {"drawer", "leg", "other"},
    "dresser": {"other"},
    "monitor": {"leg"},
    "night_stand": {"drawer", "leg", "other"},
    "sofa": {"arm", "leg", "pillow"},
    "table": {"body", "drawer", "other"},
    "toilet": {"seat"},
}


@pytest.mark.parametrize("name", CLASSES)
def test_parts_of_furniture(name: str) -> None:
    seen: set[str] = set()
    for seed in range(40):
        mesh, part = furniture_parts(name, seed)
        same = furniture_mesh(name, seed)
        assert np.array_equal(mesh.vertices, same.vertices)
        assert part.shape == (len(mesh.faces),)
        found = {FURNITURE_PARTS[i] for i in part}
        assert ALWAYS[name] <= found <= ALWAYS[name] | MAYBE[name]
        seen |= found
        height = mesh.vertices[mesh.faces].mean(axis=1)[:, 2]
        if {"leg", "top"} <= found:
            leg, top = (height[part == FURNITURE_PARTS.index(p)] for p in ("leg", "top"))
            assert leg.mean() < top.mean()
    assert len(seen & MAYBE[name]) >= 1


def test_points_are_those_of_furniture10() -> None:
    plain = Furniture10(split="test", shapes_per_class=2, num_points=64, features="normals")
    parts = Furniture10Parts("test", shapes_per_class=2, num_points=64, features="normals")
    assert torch.equal(parts.points, plain.points)
    assert torch.equal(parts.features, plain.features)
    assert parts.names == plain.names
    assert parts.categories == plain.classes
    assert torch.equal(parts.labels, plain.labels)
    assert parts.classes == FURNITURE_PARTS
    item = parts[5]
    assert item.y.shape == (64,)
    assert torch.equal(item.y, parts.point_labels[5])
    assert parts[2:4].point_labels.shape == (2, 64)
    opened = open_dataset("furniture10-parts", num_points=16, shapes_per_class=1)
    assert isinstance(opened, Furniture10Parts)
    with pytest.raises(DataError, match="split must be one of train, test, got 'val'"):
        Furniture10Parts("val")


def test_labels_must_fit() -> None:
    points, category = torch.rand(2, 4, 3), torch.zeros(2, dtype=torch.long)
    for labels, text in (
        (torch.zeros(2, 5).long(), r"shape \[2, 5\], points \[2, 4, 3\]"),
        (torch.full((2, 4), 2), r"must be in \[-1, 1\], found 2 to 2"),
    ):
        with pytest.raises(DataError, match=text):
            PointLabelDataset(points, labels, ("a", "b"), category, ("c",), ("x", "y"))


def test_few_points_are_all_taken_some_again() -> None:
    rng = np.random.default_rng(0)
    chosen = choose(5, 12, rng)
    assert len(chosen) == 12
    assert set(np.bincount(chosen)) == {2, 3}
    assert len(set(choose(20, 12, rng))) == 12


def test_shapenet_part(tmp_path: Path) -> None:
    folder = write_tiny_shapenet_part(tmp_path / "datasets" / "raw")
    root = tmp_path / "datasets"
    dataset = ShapeNetPart(root, "train", num_points=16, features="normals", progress=False)
    assert dataset.names == ("03001627/train1", "03797390/train1")
    assert [dataset.categories[i] for i in dataset.labels] == ["chair", "mug"]
    assert len(dataset.classes) == 50
    assert [SHAPENET_PARTS[i] for i in dataset.point_labels[1].unique()] == ["mug_0", "mug_1"]
    whole = np.loadtxt(folder / "03797390" / "train1.txt")
    for pos, x, y in zip(dataset.points[1], dataset.features[1], dataset.point_labels[1]):
        row = np.abs(whole[:, :3] - pos.numpy()).sum(axis=1).argmin()
        np.testing.assert_allclose(x, whole[row, 3:6], atol=1e-6)
        assert y == whole[row, 6]
    assert dataset.allowed is not None
    assert dataset.allowed.sum() == 50
    assert dataset.allowed[15].nonzero().flatten().tolist() == [47, 48, 49]
    again = ShapeNetPart(root, "train", num_points=16, features="normals")  # from the cache
    assert torch.equal(again.point_labels, dataset.point_labels)
    small = open_dataset("shapenet-part", tmp_path / "x", "test", 16, source=str(folder.parent))
    assert small.point_labels.shape == (2, 16)  # of 8 points, each twice


def test_a_damaged_line_of_shapenet_part_is_named(tmp_path: Path) -> None:
    folder = write_tiny_shapenet_part(tmp_path / "raw")
    file = folder / "03001627" / "train1.txt"
    lines = file.read_text().splitlines()
    for line, text in (
        ("0.1 0.2 0.3 oops 0 0 12", r"train1.txt: line 3 is not 'x y z nx ny nz label' but '0.1 0"),
        ("0.1 0.2 0.3 0 0 1", r"train1.txt: line 3 is not 'x y z nx ny nz label' but"),
        ("nan 0.2 0.3 0 0 1 12", r"train1.txt: line 3 is not"),
        ("0.1 0.2 0.3 0 0 1 36", r"line 3 has the label 36; those of its category are 12 to 15"),
    ):
        file.write_text("\n".join([*lines[:2], line, *lines[3:]]))
        with pytest.raises(DataError, match=text):
            ShapeNetPart(tmp_path, num_points=8, strict=True)
    with pytest.warns(UserWarning, match="1 of 2 shapes are left out"):
        dataset = ShapeNetPart(tmp_path, num_points=8)
    assert dataset.names == ("03797390/train1",)
    assert "line 3 has the label 36" in dataset.bad_files[0][1]


def test_what_is_no_shapenet_part(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ShapeNet-Part is not here"):
        ShapeNetPart(tmp_path)
    folder = write_tiny_shapenet_part(tmp_path / "raw")
    with pytest.raises(DataError, match="split must be one of train, val, test"):
        ShapeNetPart(tmp_path, "all")
    with pytest.raises(DataError, match="ShapeNet-Part has normals alone"):
        ShapeNetPart(tmp_path, features="colors")
    list_of = folder / "train_test_split" / "shuffled_train_file_list.json"
    for text, message in (("[", "no list of shapes"), ('["x/99/a"]', "lists the folder 99")):
        list_of.write_text(text)
        with pytest.raises(DataError, match=message):
            ShapeNetPart(tmp_path)
    (folder / "synsetoffset2category.txt").write_text("Chair\t03001627\nBoat 1\n")
    list_of.write_text("[]")
    with pytest.raises(DataError, match="line 2 is no category"):
        ShapeNetPart(tmp_path)


def test_s3dis(tmp_path: Path) -> None:
    folder = write_tiny_s3dis(tmp_path / "raw")
    dataset = S3DIS(tmp_path, "train", num_points=32, min_points=20, features="colors")
    assert dataset.names == tuple(
        f"Area_1/office_{room}/{block:04d}" for room in (1, 2) for block in (0, 1)
    )
    assert dataset.classes == S3DIS_CLASSES
    assert [dataset.categories[i] for i in dataset.labels] == ["Area_1"] * 4
    ends = [(pos[:, 0].min(), pos[:, 0].max()) for pos in dataset.points]
    assert all(high - low <= 1.0 for low, high in ends)
    heights = {"floor": (0.0, 0.1), "ceiling": (2.5, 2.6), "clutter": (1.0, 1.1)}
    for pos, label in zip(dataset.points.flatten(0, 1), dataset.point_labels.flatten()):
        low, high = heights[S3DIS_CLASSES[label]]
        assert low - 1e-4 <= pos[2] <= high + 1e-4
    assert 0.0 <= float(dataset.features.min()) < float(dataset.features.max()) <= 1.0
    assert S3DIS(tmp_path, "test", 32, folder, min_points=20).names[0] == "Area_5/hallway_1/0000"
    other = S3DIS(tmp_path, "test", 32, folder, test_area=1, block=2.0)
    assert len(other) == 2
    opened = open_dataset("s3dis", tmp_path, "test", 8, source=str(folder), min_points=1)
    assert opened.points.shape == (2, 8, 3)


def test_a_damaged_line_of_s3dis_is_named(tmp_path: Path) -> None:
    folder = write_tiny_s3dis(tmp_path / "raw")
    file = folder / "Area_1" / "office_2" / "Annotations" / "ceiling_1.txt"
    lines = file.read_text().splitlines()
    lines[4] = "1.0 2.0 3.0 12\x10 3 4"  # as in the published archive
    file.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"ceiling_1.txt: line 5 is not 'x y z r g b' but"):
        S3DIS(tmp_path, num_points=8, min_points=20, strict=True)
    with pytest.warns(UserWarning, match="1 of 2 rooms are left out"):
        dataset = S3DIS(tmp_path, num_points=8, min_points=20)
    assert dataset.bad_files[0][0] == "Area_1/office_2"
    assert len(dataset) == 2


def test_what_is_no_s3dis(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="S3DIS is not here"):
        S3DIS(tmp_path)
    folder = write_tiny_s3dis(tmp_path / "raw")
    with pytest.raises(DataError, match="no room with a folder Annotations in Area_3"):
        S3DIS(tmp_path, "test", test_area=3)
    with pytest.raises(DataError, match="no block of 1 rooms has 500 points"):
        S3DIS(tmp_path, "test", min_points=500)
    with pytest.raises(DataError, match="S3DIS has colors alone"):
        S3DIS(tmp_path, features="normals")
    for file in (folder / "Area_5" / "hallway_1" / "Annotations").iterdir():
        file.write_text("")
    with pytest.raises(DataError, match=r"holds no points; lines of 'x y z r g b' are needed"):
        S3DIS(tmp_path, "test", strict=True)


def test_own_clouds_from_an_npz(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = rng.random((4, 20, 3))
    arrays = {
        "points": points,
        "point_label": (points[..., 2] > 0.5) - 2 * (points[..., 0] > 0.9),
        "classes": ["leg", "top"],
        "split": ["train", "test", "train", "test"],
        "normals": points,
    }
    arrays["point_label"] = np.maximum(arrays["point_label"], -1)
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    dataset = open_dataset(str(path), tmp_path, "test", 12, features="normals")
    assert isinstance(dataset, PointLabelDataset)
    assert (dataset.classes, dataset.categories) == (("leg", "top"), ("cloud",))
    assert dataset.names == ("cloud_0001", "cloud_0003")
    z, label = dataset.points[..., 2], dataset.point_labels
    assert torch.equal(dataset.features, dataset.points)
    assert torch.equal(label == -1, dataset.points[..., 0] > 0.9)
    assert torch.equal((label == 1)[label >= 0], (z > 0.5)[label >= 0])
    assert len(open_dataset(str(path), tmp_path, None, 12)) == 4
    for changes, text in (
        ({"point_label": np.zeros((4, 5), int)}, r"'point_label' must be whole numbers of shape"),
        ({"point_label": np.full((4, 20), 2)}, r"own.npz: point_labels must be in \[-1, 1\]"),
        ({"points": points[..., :2]}, r"'points' must be numbers of shape"),
    ):
        np.savez(path, **{**arrays, **changes})
        with pytest.raises(DataError, match=text):
            open_dataset(str(path), tmp_path, None, 12)
