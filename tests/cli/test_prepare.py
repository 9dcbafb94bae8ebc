from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mgic_geo.cli import prepare
from mgic_geo.datasets import Furniture10
from mgic_geo.datasets.furniture import furniture_mesh, write_off_tree
from mgic_geo.io import write_off
from mgic_geo.testing import write_tiny_image_tree

Cli = Callable[..., Any]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("chair", "table"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for seed in range(2):
            write_off(tmp_path / "mine" / name / f"{name}_{seed}.off", furniture_mesh(name, seed))
    return tmp_path / "mine"


def test_folder(cli: Cli, tree: Path, tmp_path: Path) -> None:
    done = cli("prepare", "mine", "--num_points", 32, "--root", "cache")
    assert (done.code, done.err) == (0, "")
    assert done.out == "mine: 4 shapes of 32 points in 2 classes\n"
    (cached,) = (tmp_path / "cache" / "mine" / "processed").glob("*.safetensors")
    before = cached.stat().st_mtime_ns
    assert cli("prepare", "mine", "--num_points", 32, "--root", "cache").code == 0
    assert cached.stat().st_mtime_ns == before


def test_cache_is_not_taken_for_a_class(cli: Cli, tree: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = cli("prepare", "mine", "--num_points", 32, "--root", ".")
        assert done.out.endswith("in 2 classes\n")
    assert sorted(p.name for p in tree.iterdir()) == ["chair", "table"]


def test_one_bad_file_is_reported_by_name(cli: Cli, tree: Path) -> None:
    (tree / "chair" / "cut.off").write_text("OFF\n3 1 0\n0 0 0\n")
    done = cli("prepare", "mine", "--num_points", 32)
    assert done.code == 0
    assert done.out == "mine: 4 shapes of 32 points in 2 classes, 1 left out\n"
    assert done.err.startswith("left out cut: ")
    strict = cli("prepare", "mine", "--num_points", 32, "--strict")
    assert (strict.code, strict.out) == (1, "")
    assert "cut.off" in strict.err


def test_modelnet_tree(cli: Cli, tmp_path: Path) -> None:
    write_off_tree(tmp_path / "ModelNet10", train=2, test=1)
    command = ("prepare", "modelnet10", "--source", "ModelNet10", "--num_points", 32)
    assert cli(*command).out.splitlines() == [
        "train: 20 shapes of 32 points in 10 classes",
        "test: 10 shapes of 32 points in 10 classes",
    ]
    assert cli(*command, "--split", "test").out.startswith("test: 10 ")
    assert len(list((tmp_path / "datasets/modelnet10/processed").glob("*.safetensors"))) == 2


def test_furniture(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def few(root: Path, split: str, **options: Any) -> Furniture10:
        return Furniture10(root, split, shapes_per_class=1, **options)

    monkeypatch.setattr(prepare, "Furniture10", few)
    done = cli("prepare", "furniture10", "--num_points", 32)
    assert [line[:17] for line in done.out.splitlines()] == [
        "train: 10 shapes ",
        "test: 10 shapes o",
    ]
    assert len(list((tmp_path / "datasets/furniture10/processed").iterdir())) == 2


def test_furniture_as_files(cli: Cli, tmp_path: Path) -> None:
    done = cli("prepare", "furniture10", "--off")
    assert done.code == 0
    raw = tmp_path / "datasets/furniture10/raw"
    assert len(list(raw.glob("*/train/*.off"))) == 600
    assert len(list(raw.glob("*/test/*.off"))) == 200


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("nothing",), "no data set 'nothing'"),
        (("modelnet10", "--off"), "--off is for furniture10"),
        (("furniture10", "--sampling", "fps"), "--sampling do not apply"),
        (("mine", "--source", "x"), "--source is for modelnet10"),
        (("mine", "--num_points", 0), "num_points must be at least 1"),
        (("modelnet10", "--source", "gone"), "gone: no such file or folder"),
    ],
)
def test_refusals(cli: Cli, tree: Path, arguments: tuple[Any, ...], text: str) -> None:
    done = cli("prepare", *arguments)
    assert (done.code, done.out) == (1, "")
    assert text in done.err


def test_images(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="Pillow (extra images) is not installed")
    tree = write_tiny_image_tree(tmp_path / "photos", images=2)
    done = cli("prepare", "photos", "--root", "cache")
    assert (done.code, done.out, done.err) == (0, "photos: 6 images in 3 classes\n", "")
    (tree / "red" / "red_0002.png").write_text("nothing")
    done = cli("prepare", "photos", "--root", "cache")
    assert done.out == "photos: 5 images in 3 classes, 1 left out\n"
    assert done.err.startswith("left out red/red_0002: ")
    assert cli("prepare", "photos", "--root", "cache", "--strict").code == 1
    write_tiny_image_tree(tmp_path / "cache" / "imagenet" / "raw", splits=("train", "val"))
    assert cli("prepare", "imagenet", "--root", "cache").out.splitlines() == [
        "train: 12 images in 3 classes",
        "val: 12 images in 3 classes",
    ]
