from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mgic_geo.datasets.images import CAMVID_CLASSES
from mgic_geo.models import WeightsInfo, create_model, register_model, save_weights
from mgic_geo.testing import (
    randomize_norms,
    write_tiny_image_tree,
    write_tiny_segmentation_tree,
)

Image = pytest.importorskip("PIL.Image", reason="images need the extra images")
pytestmark = pytest.mark.usefixtures("tiny_models")
Cli = Callable[..., Any]
CLASSES = ("blue", "green", "red")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tiny_image_tree(tmp_path / "colours", images=6, size=(20, 26))


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_tiny_segmentation_tree(tmp_path / "scenes", images=8)


def stored(path: Path, task: str, classes: tuple[str, ...] = CLASSES) -> Path:
    """Weights of a model that was never trained, but tells colours apart."""
    torch.manual_seed(0)
    name = "tiny_cnn" if task == "images" else "tiny_segmenter"
    model = create_model(name, num_classes=len(classes))
    size = 16 if task == "images" else None
    info = WeightsInfo(name, {}, classes, 0, task, size, (0.5,) * 3, (0.1,) * 3)
    save_weights(path, model, info)
    return path


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return stored(tmp_path / "classifier.safetensors", "images")


@pytest.fixture
def segmenter(tmp_path: Path) -> Path:
    return stored(tmp_path / "segmenter.safetensors", "segmentation")


def test_train_evaluate_and_predict_images(cli: Cli, tree: Path, tmp_path: Path) -> None:
    command = ("train", "--data", tree, "--model", "tiny_cnn", "--image.image_size", 16)
    done = cli(*command, "--batch_size", 6, "--epochs", 6, "--lr", 0.03, "--out", "run")
    assert done.code == 0, done.err
    assert "validation top-1 accuracy" in done.out
    assert (
        (tmp_path / "run/metrics.csv")
        .read_text()
        .startswith("epoch,train_loss,train_accuracy,val_loss,val_accuracy,val_top5_accuracy,")
    )
    result = cli("evaluate", "--data", tree, "--weights", "run", "--json").json
    assert result["num_images"] == 18
    assert result["accuracy"] > 0.9
    expected = json.loads((tmp_path / "run/result.json").read_text())["validation"]
    part = ("--val_fraction", 0.125)  # as in training
    found = cli("evaluate", "--data", tree, "--weights", "run", *part, "--json").json
    assert {name: found[name] for name in expected} == expected
    file = tree / "red" / "red_0001.png"
    (found,) = cli("predict", file, "--weights", "run", "--json").json
    assert found["class"] == "red"
    assert sum(entry["probability"] for entry in found["top"]) == pytest.approx(1.0, abs=1e-5)
    line = cli("predict", file, "--weights", "run").out
    assert line.startswith(f"{file}: red ")


def test_fused_networks_say_the_same(cli: Cli, tree: Path, tmp_path: Path) -> None:
    model = randomize_norms(create_model("mgic_resnet56", num_classes=3, width=4))
    classes = ("blue", "green", "red")
    info = WeightsInfo("mgic_resnet56", {"width": 4}, classes, task="images", image_size=16)
    save_weights(tmp_path / "small.safetensors", model, info)
    words = ("--weights", "small.safetensors", "--json")
    pair = [cli("evaluate", "--data", tree, *words, *more).json for more in ((), ("--fuse",))]
    assert pair[0]["parameters"] == sum(p.numel() for p in model.parameters())
    assert pair[0] == pair[1]
    file = tree / "red" / "red_0001.png"
    plain, fused = (cli("predict", file, *words, *more).json[0] for more in ((), ("--fuse",)))
    assert fused["class"] == plain["class"]
    assert fused["probability"] == pytest.approx(plain["probability"], abs=1e-5)


def test_train_evaluate_and_predict_masks(cli: Cli, scenes: Path, tmp_path: Path) -> None:
    command = ("train", "--data", scenes, "--model", "tiny_segmenter", "--batch_size", 7)
    done = cli(*command, "--epochs", 10, "--lr", 0.1, "--label_smoothing", 0, "--out", "run")
    assert done.code == 0, done.err
    assert "validation mean IoU" in done.out
    result = cli("evaluate", "--data", scenes, "--weights", "run", "--json").json
    assert result["mean_iou"] > 0.7
    assert list(result["per_class_iou"]) == list(CLASSES)
    assert result["num_pixels"] == 8 * 22 * 30  # less the frames
    table = cli("evaluate", "--data", scenes, "--weights", "run")
    assert f"mean IoU {100 * result['mean_iou']:.2f} %" in table.out
    assert all(name in table.out for name in CLASSES)


@pytest.mark.parametrize("run", ["classifier", "segmenter"])
def test_pictures(
    cli: Cli, run: str, request: pytest.FixtureRequest, tree: Path, scenes: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra viz")
    data, weights = scenes if run == "segmenter" else tree, request.getfixturevalue(run)
    command = ("evaluate", "--data", data, "--weights", weights, "--pictures", "drawn")
    assert cli(*command).code == 0
    overlays = [f"scene_{i + 1:04d}_overlay.png" for i in range(8)] if run == "segmenter" else []
    found = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert found == ["confusion.png", *overlays]


def test_classes_are_matched_by_name(
    cli: Cli, tree: Path, scenes: Path, classifier: Path, segmenter: Path, tmp_path: Path
) -> None:
    for data, weights in ((tree, classifier), (scenes, segmenter)):
        whole = cli("evaluate", "--data", data, "--weights", weights, "--json").json
        if data is tree:
            (tree / "blue").rename(tmp_path / "gone")  # green and red move up in the data
        else:
            (scenes / "classes.txt").write_text("red\ngreen\nblue\n")  # as if painted so
        part = cli("evaluate", "--data", data, "--weights", weights, "--json").json
        rows = np.array(whole["confusion_matrix"]), np.array(part["confusion_matrix"])
        if data is tree:
            assert (rows[1] == rows[0] * np.array([[0], [1], [1]])).all()
        else:
            assert (rows[1] == rows[0][[2, 1, 0]]).all()


def test_overlays_lie_beside_the_image_or_in_a_folder(
    cli: Cli, scenes: Path, segmenter: Path, tmp_path: Path
) -> None:
    file = scenes / "images" / "scene_0001.png"
    (found,) = cli("predict", file, "--weights", segmenter, "--json").json
    assert found["overlay"] == str(scenes / "images" / "scene_0001_overlay.png")
    assert sum(entry["share"] for entry in found["shares"]) == pytest.approx(1.0, abs=1e-4)
    with Image.open(found["overlay"]) as picture:
        assert picture.width == 32
        assert picture.height > 24  # the image, and a legend below
    done = cli("predict", file, "--weights", segmenter, "--out", "pictures")
    assert (tmp_path / "pictures" / "scene_0001_overlay.png").is_file()
    first = found["shares"][0]
    assert done.out.startswith(f"{file}: {first['class']} {100 * first['share']:.2f} %")


@pytest.mark.parametrize("run", ["classifier", "segmenter"])
def test_bad_files_are_named_and_the_others_go_on(
    cli: Cli, run: str, request: pytest.FixtureRequest, tree: Path, tmp_path: Path
) -> None:
    good = tree / "red" / "red_0001.png"
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:60])
    (tmp_path / "chair.off").write_text("OFF\n3 1 0\n")
    bad = ["cut.png", "chair.off", "gone.jpg"]
    weights = request.getfixturevalue(run)
    done = cli("predict", *bad, good, "--weights", weights, "--json")
    assert done.code == 1
    assert [entry["file"] for entry in done.json] == [*bad, str(good)]
    assert ["error" in entry for entry in done.json] == [True, True, True, False]
    assert all(name in entry["error"] for name, entry in zip(bad, done.json))
    assert all(f"mgic-geo: {entry['error']}\n" in done.err for entry in done.json[:-1])


@pytest.mark.parametrize(
    ("run", "data", "text"),
    [
        (
            "classifier",
            "scenes",
            "scenes: the weights classifier.safetensors need images with a cl",
        ),
        ("segmenter", "colours", "colours: the weights segmenter.safetensors need images with mas"),
        ("alien", "colours", "colours: the weights do not know green; they know blue, red, purple"),
        ("points", "colours", "colours holds images, and points.safetensors are weights of clouds"),
    ],
)
def test_refusals(
    cli: Cli,
    tree: Path,
    scenes: Path,
    classifier: Path,
    segmenter: Path,
    weights: Path,
    tmp_path: Path,
    run: str,
    data: str,
    text: str,
) -> None:
    stored(tmp_path / "alien.safetensors", "images", ("blue", "red", "purple"))
    (tmp_path / "points.safetensors").write_bytes(weights.read_bytes())
    done = cli("evaluate", "--data", data, "--weights", f"{run}.safetensors")
    assert (done.code, done.out) == (1, "")
    assert text in done.err


def test_a_model_for_other_data_leaves_nothing_behind(
    cli: Cli, tree: Path, clouds_npz: Path, tmp_path: Path
) -> None:
    for data, model, text in (
        (tree, "mgic_diffgcn", "mgic_diffgcn is for point clouds; choose one of"),
        (clouds_npz, "tiny_cnn", "tiny_cnn is for images with a class each; choose one of dgcnn,"),
        (tree, "tiny_segmenter", "tiny_segmenter is for images with a class for each pixel"),
    ):
        options = ("--num_points", 64, "--out", "run")
        done = cli("train", "--data", data, "--model", model, *options)
        assert (done.code, done.out) == (1, "")
        assert text in done.err
        assert not (tmp_path / "run").exists()


def test_models_and_profile(cli: Cli) -> None:
    rows = {row["name"]: row for row in cli("models", "tiny_*", "--json").json}
    assert {name: row["task"] for name, row in rows.items()} == {
        "tiny_cnn": "images",
        "tiny_segmenter": "segmentation",
    }
    # 3 x 3 convolutions: stride 2 on 224 x 224, and stride 1 on the segmenter's own 24 x 40
    assert rows["tiny_cnn"]["macs"] == 112 * 112 * 27 * 8 + 8 * 10
    assert rows["tiny_segmenter"]["macs"] == 24 * 40 * (27 * 8 + 8 * 3)
    found = cli("models", "*cnn", "--task", "images", "--json").json
    assert [row["name"] for row in found] == ["tiny_cnn"]

    command = ("profile", "tiny_cnn", "--option", "width=4", "--num_classes", 6, "--json")
    report = cli(*command, "--image_size", 8, 16).json
    assert report["total"]["macs"] == 4 * 8 * 27 * 4 + 4 * 6
    assert (report["width"], report["image_size"]) == (4, [8, 16])
    assert report["total"]["parameters"] == 27 * 4 + 2 * 4 + 4 * 6 + 6
    assert "num_points" not in report


def test_dense_twin_shares_the_options_that_it_has(cli: Cli) -> None:
    def tiny_mgic(group_size: int = 1, **options: Any) -> nn.Module:
        """As tiny_cnn, but for its head."""
        model = create_model("tiny_cnn", **options)
        model.fc = nn.Linear(options["width"], group_size)
        return model

    register_model(task="images", dense_twin="tiny_cnn")(tiny_mgic)
    options = ("--group_size", 2, "--option", "width=4", "--image_size", 8)
    report = cli("profile", "tiny_mgic", *options, "--json").json
    assert report["total"]["parameters"] == 27 * 4 + 2 * 4 + 4 * 2 + 2
    twin = report["dense_twin"]
    assert (twin["model"], twin["total"]["parameters"]) == ("tiny_cnn", 27 * 4 + 8 + 4 * 10 + 10)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--option", "width"), "--option width: write it as name=value"),
        (("--option", "depth=3"), "tiny_cnn: "),
        (("--k", 5), "tiny_cnn: "),
        (("--image_size", 0), "image_size = [0]"),
        (("--image_size", 8, 8, 8), "give a side, or height and width"),
    ],
)
def test_profile_of_what_cannot_be_built(cli: Cli, options: tuple[Any, ...], text: str) -> None:
    done = cli("profile", "tiny_cnn", *options)
    assert (done.code, done.out) == (1, "")
    assert text in done.err


def test_where_data_lie(cli: Cli, scenes: Path, tree: Path, tmp_path: Path) -> None:
    done = cli("evaluate", "--data", "camvid", "--source", scenes, "--weights", "none")
    assert "no weights at none" in done.err
    stored(tmp_path / "streets.safetensors", "segmentation", CAMVID_CLASSES)
    command = ("evaluate", "--weights", "streets.safetensors", "--json")
    for label in (scenes / "labels").iterdir():  # CamVid knows 11 as of no class, but not 255
        with Image.open(label) as mask:
            pixels = np.array(mask)
        Image.fromarray(np.where(pixels == 255, 11, pixels)).save(label)
    done = cli(*command, "--data", "camvid", "--source", scenes)
    assert (done.code, done.json["num_images"]) == (0, 8)
    for data in ("colours", "furniture10"):
        done = cli(*command, "--data", data, "--source", scenes)
        assert (done.code, done.out) == (1, "")
        assert f"{data} is its own source" in done.err


def test_result_of_a_run_is_json(cli: Cli, tree: Path, tmp_path: Path) -> None:
    command = ("train", "--data", tree, "--model", "tiny_cnn", "--image.image_size", 16)
    assert cli(*command, "--epochs", 1, "--out", "run", "--val_fraction", 0.5).code == 0
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["train_images"] == result["validation"]["num_images"] == 9
