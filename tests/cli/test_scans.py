"""`predict` on scans as they come."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mgic_geo.cli._weights import _weights_info
from mgic_geo.cli.main import COMMANDS
from mgic_geo.datasets import sample_points
from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.export import ExportInfo
from mgic_geo.export.api import _describe
from mgic_geo.inference import predict
from mgic_geo.models import WeightsInfo, create_model, load_model, read_weights_info
from mgic_geo.models._temperature import save_temperature

Cli = Callable[..., Any]


@pytest.fixture
def scan(tmp_path: Path) -> np.ndarray:
    """A chair of 300 points on a floor, with two stray points."""
    chair = sample_points(furniture_mesh("chair", seed=1), 300, seed=0)
    rng = np.random.default_rng(0)
    floor = rng.random((400, 3)) * [2, 2, 0] + [-1, -1, 0]
    return np.concatenate([chair, floor, [[0, 0, 2.5], [3, 0, 2]]]).astype(np.float32)


def test_up_auto_is_the_most_certain_axis(cli: Cli, weights: Path) -> None:
    np.save("scan.npy", sample_points(furniture_mesh("chair", seed=1), 64, seed=0))
    command = ("predict", "scan.npy", "--weights", weights, "--json", "--up")
    found = {up: cli(*command, up).json[0] for up in ("x", "y", "z", "auto")}
    best = max("xyz", key=lambda up: found[up]["probability"])
    assert (found["auto"]["up"], found["auto"]["class"]) == (best, found[best]["class"])
    assert found["auto"]["probability"] == pytest.approx(found[best]["probability"], abs=1e-5)
    assert cli(*command[:-1], "--up=-z").json[0]["up"] == "-z"
    end = "" if best == "z" else f", {best} up"
    assert cli(*command[:-2], "--up", "auto").out.endswith(f"){end}\n")


@pytest.mark.parametrize("unit", [1, 1000])
def test_clean_leaves_the_object_and_unit_and_axis_do_not_matter(
    cli: Cli, weights: Path, scan: np.ndarray, unit: int
) -> None:
    np.save("scan.npy", unit * scan[:, [0, 2, 1]] * [1, 1, -1])  # y up
    command = ("predict", "scan.npy", "--weights", weights, "--json", "--up", "auto")
    (found,) = cli(*command, "--clean").json
    assert found["up"] == "y"  # where the floor is
    assert 380 < found["floor"] < 480
    assert found["strays"] >= 2
    low, high = np.array(found["box"]) / unit
    assert (np.abs([low, high]) < 1.2).all()
    (kept,) = cli(*command, "--clean", "--keep_floor").json
    assert (kept["floor"], kept["strays"] >= 2) == (0, True)
    done = cli("predict", "scan.npy", "--keep_floor")
    assert (done.code, done.err.count("\n")) == (1, 1)


def test_several_objects_are_said_and_classified_each(
    cli: Cli, weights: Path, scan: np.ndarray
) -> None:
    chair = scan[:300]
    np.save("two.npy", np.concatenate([chair, chair[:200] + np.float32([3, 0, 0])]))
    done = cli("predict", "two.npy", "--weights", weights)
    assert done.code == 0
    assert "two.npy: looks like 2 objects" in done.err
    assert done.err.count("\n") == 1
    command = ("predict", "two.npy", "--weights", weights, "--clusters")
    (found,) = cli(*command, "--json").json
    boxes = [np.array(one["box"]) for one in found["objects"]]
    assert len(boxes) == 2
    assert boxes[0][1][0] < 1.5 < boxes[1][0][0]
    assert all(one["class"] for one in found["objects"])
    lines = cli(*command).out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("two.npy: object 1 of 2, (")


def test_unknown_below_the_least_confidence(cli: Cli, weights: Path, scan: np.ndarray) -> None:
    np.save("chair.npy", scan[:300])
    command = ("predict", "chair.npy", "--weights", weights)
    (found,) = cli(*command, "--json", "--min-confidence", "1.0").json
    assert found["class"] is None
    assert found["top"][0]["probability"] == found["probability"] < 1.0
    assert "chair.npy: unknown (" in cli(*command, "--min_confidence", "1.0").out
    assert cli(*command, "--min-confidence", "0.01").out == cli(*command).out
    wrong = cli(*command, "--min-confidence", "7")
    assert (wrong.code, wrong.err) == (
        1,
        "mgic-geo: min_confidence = 7: a probability in [0, 1]\n",
    )


def test_a_plane_and_twelve_points_in_one_line_each(cli: Cli, weights: Path) -> None:
    rng = np.random.default_rng(0)
    np.save("plane.npy", rng.random((100, 3)) * [1, 1, 0])
    np.save("few.npy", rng.random((12, 3)))
    for name, text in (("plane.npy", "is flat"), ("few.npy", "has 12 points")):
        done = cli("predict", name, "--weights", weights, "--up", "auto", "--clean")
        assert (done.code, done.out.count("\n"), done.err.count("\n")) == (0, 1, 1)
        assert f"{name}: {text}" in done.err


def test_wrong_weights_list_those_that_there_are(cli: Cli) -> None:
    done = cli("predict", "x.npy", "--weights", "modelnet40")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "modelnet10-mgic-diffgcn, modelnet10-mgic-pyramid" in done.err


def test_the_temperature_is_used_and_changes_no_class(
    cli: Cli, weights: Path, clouds_npz: Path, scan: np.ndarray
) -> None:
    save_temperature(weights, 0.5, "sharp.safetensors")
    assert read_weights_info("sharp.safetensors").temperature == 0.5
    assert read_weights_info(weights).temperature == 1.0
    plain, sharp = (predict(scan, path) for path in (str(weights), "sharp.safetensors"))
    assert torch.equal(plain.logits, sharp.logits)
    assert sharp.probability == pytest.approx(float((2 * plain.logits).softmax(dim=0).max()))
    assert sharp.label == plain.label
    first, second = (
        cli("evaluate", "--data", clouds_npz, "--weights", path, "--json").json
        for path in (weights, "sharp.safetensors")
    )
    assert first["accuracy"] == second["accuracy"]
    assert (first["temperature"], second["temperature"]) == (1.0, 0.5)
    error = "expected_calibration_error"
    assert first[error] == second[f"uncalibrated_{error}"] != second[error]


def test_calibrate_writes_weights_that_are_closer_to_the_truth(
    cli: Cli, weights: Path, clouds_npz: Path, tmp_path: Path
) -> None:
    assert "calibrate" in COMMANDS
    command = ("calibrate", weights, "--data", clouds_npz, "--val_fraction", "0.5")
    words = ("--out", "new.safetensors", "--picture", "r.png", "--json")
    found = cli(*command, *words).json
    assert found["num_shapes"] == 20
    assert found["negative_log_likelihood"]["after"] < found["negative_log_likelihood"]["before"]
    assert read_weights_info("new.safetensors").temperature == found["temperature"]
    assert Path("r.png").stat().st_size > 1000
    assert load_model("new.safetensors")[1].classes == load_model(weights)[1].classes
    assert "temperature" in cli(*command).out
    without = cli("calibrate", weights)
    assert (without.code, without.err.count("\n")) == (1, 1)
    assert "--data" in without.err


def test_calibrate_takes_the_part_that_the_run_was_chosen_by(
    cli: Cli, weights: Path, clouds_npz: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(weights, tmp_path / "run" / "best.safetensors")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(f"data: {clouds_npz}\nval_fraction: 0.25\nfold: null\n")
    assert cli("calibrate", "run", "--json").json["num_shapes"] == 10
    config.write_text(f"data: {clouds_npz}\nval_fraction: 0.0\n")
    whole = cli("calibrate", "run")
    assert (whole.code, whole.err.count("\n")) == (1, 1)
    assert "trained on all" in whole.err


def test_exported_files_carry_the_temperature() -> None:
    info = ExportInfo("m", "points", ("a",), (None, None, 3), (None, 1), temperature=0.7)
    assert ExportInfo.from_json(info.to_json(), "x").temperature == 0.7
    old = info.to_json().replace('  "temperature": 0.7,\n', "")
    assert ExportInfo.from_json(old, "x").temperature == 1.0
    assert _weights_info(info).temperature == 0.7  # what predict and evaluate use
    model = create_model("mgic_diffgcn", num_classes=1, width=16, k=4)
    weights = WeightsInfo("mgic_diffgcn", {}, ("a",), 64, temperature=0.7)
    assert _describe(model, "onnx", weights).temperature == 0.7
