"""The commands with weights that give points a class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mgic_geo.datasets import Furniture10Parts
from mgic_geo.datasets.furniture import FURNITURE_PARTS, furniture_mesh
from mgic_geo.datasets.furniture.dataset import PER_CLASS
from mgic_geo.io import read_shape, write_off
from mgic_geo.models import WeightsInfo, create_model, save_weights
from mgic_geo.testing import randomize_norms

Cli = Callable[..., Any]
OPTIONS = {"width": 16, "k": 6}


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that was never trained."""
    torch.manual_seed(0)
    model = randomize_norms(create_model("mgic_diffgcn_seg", num_classes=13, **OPTIONS))
    path = tmp_path_factory.mktemp("weights") / "parts.safetensors"
    info = WeightsInfo("mgic_diffgcn_seg", OPTIONS, FURNITURE_PARTS, 64, "point_segmentation")
    save_weights(path, model, info)
    return path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.xyz"
    np.savetxt(path, np.random.default_rng(0).random((150, 3)), "%.4f")
    return path


@pytest.fixture
def parts_npz(tmp_path: Path) -> Path:
    data = Furniture10Parts("test", shapes_per_class=2, num_points=64)
    path = tmp_path / "parts.npz"
    arrays = {"points": data.points.numpy(), "point_label": data.point_labels.numpy()}
    texts = {"classes": data.classes, "categories": data.categories, "name": data.names}
    np.savez(path, label=data.labels.numpy(), **arrays, **texts)
    return path


def test_predict_writes_a_labelled_cloud(cli: Cli, segmenter: Path, scan: Path) -> None:
    pytest.importorskip("trimesh", reason="PLY files are read by trimesh, extra mesh")
    done = cli("predict", scan, "--weights", segmenter, "--out", "labelled.ply", "--json")
    (result,) = done.json
    assert done.code == 0
    assert (result["labelled"], result["num_points"]) == ("labelled.ply", 150)
    assert sum(entry["share"] for entry in result["shares"]) == pytest.approx(1.0, abs=1e-5)
    header = Path("labelled.ply").read_bytes().partition(b"end_header")[0].decode()
    assert "property int label" in header
    assert "comment label 5 leg\n" in header
    cloud = read_shape("labelled.ply")
    np.testing.assert_array_equal(cloud.points, np.loadtxt(scan))
    line = cli("predict", scan, "--weights", segmenter).out
    first = result["shares"][0]
    assert line.startswith(f"{scan}: {first['class']} {100 * first['share']:.2f} %")
    assert line.endswith(f"-> {scan.with_name('scan_labelled.ply')}\n")


def test_several_files_go_into_a_folder(cli: Cli, segmenter: Path, scan: Path) -> None:
    mesh = scan.with_name("table.off")
    write_off(mesh, furniture_mesh("table", 1))
    done = cli("predict", scan, mesh, "--weights", segmenter, "--out", "new/folder")
    assert done.code == 0
    names = sorted(path.name for path in Path("new/folder").iterdir())
    assert names == ["scan_labelled.ply", "table_labelled.ply"]
    done = cli("predict", scan, mesh, "--weights", segmenter, "--out", "one.ply")
    assert done.code == 1
    assert "--out one.ply is one file, for 2; name a folder" in done.err
    own = scan.with_name("own.ply")
    scan.rename(own)
    done = cli("predict", own, "--weights", segmenter, "--out", own)
    assert done.code == 1
    assert "is the cloud itself" in done.err


def test_evaluate(cli: Cli, segmenter: Path, parts_npz: Path) -> None:
    done = cli("evaluate", "--data", parts_npz, "--weights", segmenter, "--json")
    found = done.json
    assert (found["num_shapes"], found["num_points"], found["counted_points"]) == (20, 64, 1280)
    assert set(found["per_class_iou"]) == set(FURNITURE_PARTS)
    assert len(found["per_category_iou"]) == 10
    known = [iou for iou in found["per_class_iou"].values() if iou is not None]
    assert found["mean_iou"] == pytest.approx(np.mean(known), abs=1e-5)
    text = cli("evaluate", "--data", parts_npz, "--weights", segmenter).out
    assert f"mean IoU {100 * found['mean_iou']:.2f} %, mean IoU of shapes" in text
    assert "bathtub" in text
    assert "20 shapes, 64 points each" in text


def test_pictures(cli: Cli, segmenter: Path, parts_npz: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra viz")
    options = ("--pictures", "new", "--val_fraction", 0.5, "--json")
    done = cli("evaluate", "--data", parts_npz, "--weights", segmenter, *options)
    assert done.json["num_shapes"] == 10
    names = sorted(path.name for path in Path("new").iterdir())
    assert names == ["confusion.png", "worst_predicted.png", "worst_true.png"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--fold", 1), "--fold is for clouds with one class each"),
        (("--corruptions",), "--corruptions is for clouds with one class each"),
        (("--num_points", 65), "its clouds have 64 points, 65 asked"),
    ],
)
def test_evaluate_refuses(
    cli: Cli, segmenter: Path, parts_npz: Path, options: tuple[Any, ...], text: str
) -> None:
    done = cli("evaluate", "--data", parts_npz, "--weights", segmenter, *options)
    assert (done.code, done.out) == (1, "")
    assert text in done.err


def test_weights_and_data_of_two_kinds(
    cli: Cli, segmenter: Path, weights: Path, parts_npz: Path, clouds_npz: Path
) -> None:
    done = cli("evaluate", "--data", clouds_npz, "--weights", segmenter)
    assert done.code == 1
    assert "need clouds with a class for each point" in done.err
    done = cli("evaluate", "--data", parts_npz, "--weights", weights)
    assert done.code == 1
    assert "the weights do not know" in done.err


def test_train(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for split, count in (("train", 2), ("test", 1)):
        monkeypatch.setitem(PER_CLASS, split, count)
    done = cli(
        "train", "--data", "furniture10-parts", "--model", "mgic_diffgcn_seg", "--num_points", 32,
        "--width", 16, "--k", 6, "--epochs", 1, "--batch_size", 8, "--out", "run",
    )  # fmt: skip
    assert done.code == 0
    assert "test mean IoU " in done.out
    assert "(10 shapes, epoch 1)" in done.out
    again = cli("evaluate", "--data", "furniture10-parts", "--weights", "run", "--json").json
    assert again["num_shapes"] == 10


def test_prepare(cli: Cli) -> None:
    done = cli("prepare", "furniture10-parts")
    assert done.code == 1
    assert "there is nothing to prepare" in done.err
    done = cli("prepare", "s3dis")
    assert "S3DIS is not here" in done.err
    done = cli("prepare", "shapenet-part", "--sampling", "fps")
    assert "--sampling does not apply" in done.err


def test_models_and_profile(cli: Cli) -> None:
    rows = cli("models", "--task", "point_segmentation", "--json").json
    assert [row["name"] for row in rows] == ["diffgcn_seg", "mgic_diffgcn_seg"]
    report = cli("profile", "mgic_diffgcn_seg", "--width", 32, "--num_points", 64, "--json").json
    assert report["dense_twin"]["model"] == "diffgcn_seg"
    assert report["total"]["parameters"] < report["dense_twin"]["total"]["parameters"]
