from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.io import write_off
from mgic_geo.models import FusionClassifier, load_model
from mgic_geo.testing import write_tiny_image_tree
from mgic_geo.training import TrainConfig

Cli = Callable[..., Any]
OPTIONS = {
    "point": "dgcnn",
    "image": "resnet20",
    "width": 16,
    "view_size": 16,
    "point_options": {"k": 6, "width": 16},
    "image_options": {"width": 4, "in_chans": 1},
}
WORDS = (
    *("--model_options.point", "dgcnn", "--model_options.image", "resnet20"),
    *("--model_options.width", 16, "--model_options.view_size", 16),
    *("--model_options.point_options.k", 6, "--model_options.point_options.width", 16),
    *("--model_options.image_options", "{width: 4, in_chans: 1}"),
)


@pytest.fixture
def command(clouds_npz: Path) -> tuple[Any, ...]:
    """Training of a small network on points and views, which is chosen by other clouds."""
    run = ("--num_points", 64, "--batch_size", 8, "--lr", 0.02, "--augment.drop", 0, "--out", "run")
    return ("train", "--data", clouds_npz, "--model", "fusion_classifier", *WORDS, *run)


def test_what_was_trained_is_evaluated_fused_and_applied_to_a_mesh(
    cli: Cli, command: tuple[Any, ...], clouds_npz: Path, tmp_path: Path
) -> None:
    done = cli(*command, "--val_data", clouds_npz, "--epochs", 3)
    assert done.code == 0, done.err
    model, info = load_model(tmp_path / "run")
    assert isinstance(model, FusionClassifier)
    assert (info.model, info.task, info.num_points) == ("fusion_classifier", "fusion", 64)
    assert info.model_args == OPTIONS
    assert (model.point.k, model.image.in_chans, model.view_size) == (6, 1, 16)

    words = ("--weights", "run", "--json")
    plain, fused = (
        cli("evaluate", "--data", clouds_npz, *words, *more).json for more in ((), ("--fuse",))
    )
    trained = json.loads((tmp_path / "run/result.json").read_text())
    assert {name: plain[name] for name in trained["validation"]} == trained["validation"]
    assert (
        plain["parameters"] == trained["parameters"] == sum(p.numel() for p in model.parameters())
    )
    predicted = torch.tensor(plain["confusion_matrix"]).sum(dim=0)
    assert (predicted > 0).sum() > 1  # or the comparison would say little
    assert fused == plain

    write_off(tmp_path / "chair.off", furniture_mesh("chair", seed=1))
    plain, fused = (
        cli("predict", "chair.off", *words, *more).json[0] for more in ((), ("--fuse",))
    )
    assert (plain["kind"], plain["num_points"]) == ("mesh", 64)
    assert fused["class"] == plain["class"]
    assert fused["probability"] == pytest.approx(plain["probability"], abs=1e-5)


def test_resumed_run_equals_an_uninterrupted_one(
    cli: Cli, command: tuple[Any, ...], tmp_path: Path
) -> None:
    command = (*command, "--epochs", 2, "--val_fraction", 0.25, "--augment.drop", 0.2)
    assert cli(*command, "--out", "whole").code == 0
    assert cli(*command, "--stop_after", 1).code == 0
    assert TrainConfig.load("run/config.yaml").model_options == OPTIONS
    torch.manual_seed(99)  # what a new process would not know
    done = cli("train", "run/config.yaml", "--resume", "true", "--stop_after", 2)
    assert (done.code, done.out[:10]) == (0, "epoch   2 ")
    for name in ("last", "best"):
        one, two = (load_file(f"{run}/{name}.safetensors") for run in ("whole", "run"))
        assert all(torch.equal(one[key], two[key]) for key in one | two)
    rows = [Path(run, "metrics.csv").read_text().splitlines() for run in ("whole", "run")]
    one, two = ([line.rpartition(",")[0] for line in lines] for lines in rows)  # but the clock
    assert one == two


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            ("--data", "photos"),
            "and the model fusion_classifier is for point clouds; choose one of",
        ),
        (("--model_options.point", "pointnet"), "point = 'pointnet' is no model of points; use"),
        (("--model_options.image", "dgcnn"), "image = 'dgcnn' is no model of images; use ghost"),
        (("--model_options.image_options", 4), "image_options = 4: give a value to each option"),
        (("--model_options.point_options.depth", 4), "got an unexpected keyword argument 'depth'"),
        (("--model_options.point_options.k", 64), "needs 65 points for its neighbours, and num_"),
        (("--model_options.point.k", 6), "point = 'dgcnn' is one value: it has no k"),
        (("--width", 32), "fusion_classifier is no point model; if it has such an option, set it"),
    ],
)
def test_refusals_leave_nothing_behind(
    cli: Cli, command: tuple[Any, ...], tmp_path: Path, options: tuple[Any, ...], text: str
) -> None:
    pytest.importorskip("PIL", reason="images need the extra images")
    write_tiny_image_tree(tmp_path / "photos", images=2)
    done = cli(*command, *options)
    assert (done.code, done.out) == (1, "")
    assert text in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_profile_of_any_backbones(cli: Cli) -> None:
    options = ("--option", "point=dgcnn", "--option", "image=resnet20", "--num_points", 32)
    options += ("--option", "point_options.k=6", "--option", "point_options.width=16")
    report = cli("profile", "fusion_classifier", *options, "--json").json
    assert report["point_options"] == {"k": 6, "width": 16}
    assert (report["num_points"], report.get("dense_twin")) == (32, None)
    for key in ("parameters", "macs"):
        assert report["total"][key] == sum(layer[key] for layer in report["layers"])
    done = cli("profile", "fusion_classifier", "--num_points", 10)
    assert (done.code, done.out) == (1, "")
    assert "has 10 points, k = 10 needs at least 11" in done.err
