from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from mgic_geo.datasets.images._base import MemoryImages
from mgic_geo.errors import DataError
from mgic_geo.models import load_model
from mgic_geo.profiling import profile_model_by_name, profile_point_model
from mgic_geo.training import Clouds, PointLabels, Splits, TrainConfig, train
from mgic_geo.transforms import normalize_sphere

CLASSES = ("bed", "night_stand")
Script = Callable[[str], ModuleType]


@pytest.fixture
def script(repository: Path) -> Script:
    def load(name: str) -> ModuleType:
        spec = spec_from_file_location(name, repository / "scripts" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a validation part, one without, and one of another model."""
    folder = tmp_path_factory.mktemp("runs")
    pos = normalize_sphere(torch.randn(12, 64, 3, generator=torch.Generator().manual_seed(0)))
    clouds = Clouds(pos, torch.arange(12) % 2)
    for name, model, val in (
        ("validated", "mgic_diffgcn", clouds),
        ("all", "mgic_diffgcn", None),
        ("dgcnn", "dgcnn", clouds),
    ):
        config = TrainConfig(
            data=str(folder / "modelnet10_train.npz"),
            num_points=64,
            width=16,
            k=6,
            epochs=1,
            batch_size=6,
            model=model,
            out=str(folder / name),
        )
        train(config, Splits(clouds, val, None, CLASSES))
    return folder


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_classify_runs_and_repeats(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    program = script("classify_modelnet10")
    command = "--shapes 2 --num_points 64 --width 16 --epochs 2 --batch_size 10 --device cpu"
    first = program.main(command.split())
    out = capsys.readouterr().out
    assert f"test accuracy {100 * first:.2f} % (20 shapes)" in out
    assert program.main(command.split()) == first
    assert capsys.readouterr().out == out


def test_results_become_rows_and_are_replaced(script: Script, runs: Path, tmp_path: Path) -> None:
    program, out = script("collect_results"), tmp_path / "results" / "rows.csv"
    command = [str(runs / "validated"), str(runs / "dgcnn"), "--out", str(out)]
    assert program.main(command) == 0
    rows = read(out)
    assert [row["model"] for row in rows] == ["dgcnn", "mgic_diffgcn"]
    result = json.loads((runs / "validated/result.json").read_text())
    layers = profile_point_model("mgic_diffgcn", 64, width=16, k=6, num_classes=2)
    assert int(rows[1]["macs"]) == sum(layer.macs for layer in layers)
    assert int(rows[1]["parameters"]) == result["parameters"]
    figure = rows[1]["validation_mean_class_accuracy"]
    assert float(figure) == result["validation"]["mean_class_accuracy"]
    assert all(row[key] for row in rows for key in ("command", "versions", "device", "date"))
    assert program.main(command) == 0
    assert read(out) == rows


def test_results_of_images_become_rows(script: Script, repository: Path, tmp_path: Path) -> None:
    images = torch.randint(0, 256, (12, 3, 8, 8), dtype=torch.uint8)
    part = MemoryImages(images, torch.arange(12) % 2, [str(i) for i in range(12)], CLASSES)
    config = TrainConfig(
        data="cifar10", model="resnet20", epochs=1, batch_size=6, out=str(tmp_path / "run")
    )
    train(config, Splits(part, part, None, CLASSES))
    out = tmp_path / "images.csv"
    assert script("collect_results").main([str(tmp_path / "run"), "--out", str(out)]) == 0
    (row,) = read(out)
    layers = profile_model_by_name("resnet20", {"num_classes": 2}, image_size=8)
    assert int(row["macs"]) == sum(layer.macs for layer in layers)
    assert (row["data"], row["input"]) == ("cifar10", "8 x 8")
    assert 0.0 <= float(row["validation_accuracy"]) <= 1.0
    assert "validation_mean_iou" not in row


def test_unfinished_run(script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rows.csv"
    assert script("collect_results").main([str(tmp_path), "--out", str(out)]) == 1
    assert "no readable result.json" in capsys.readouterr().err
    assert not out.exists()


def test_shipped_weights_describe_themselves(script: Script, runs: Path, tmp_path: Path) -> None:
    folder = script("ship_weights").ship(runs / "all", "tiny", runs / "validated", False, tmp_path)
    assert folder == tmp_path / "weights" / "tiny"
    shipped, _ = load_model(folder / "model.safetensors")
    own, _ = load_model(runs / "all")
    states = own.state_dict(), shipped.state_dict()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    card = (folder / "README.md").read_text()
    result = json.loads((runs / "validated/result.json").read_text())
    figure = 100 * result["validation"]["mean_class_accuracy"]
    assert f"**{figure:.2f} % mean class accuracy**" in card
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    for text in (
        digest,
        "the last of each class by name",
        "--weights tiny",
        "night stand",
        "ModelNet-10",
        "academic research",
        "commit `",
    ):
        assert text in card
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["data"], config["out"]) == ("modelnet10_train.npz", None)
    assert TrainConfig(**{**config, "augment": TrainConfig().augment}).width == 16


def test_weights_for_points_have_a_card_of_their_own(script: Script, tmp_path: Path) -> None:
    pos = normalize_sphere(torch.randn(4, 32, 3, generator=torch.Generator().manual_seed(0)))
    clouds = PointLabels(pos, torch.arange(4) % 2, (pos[..., 2] > 0).long(), ("bed", "sofa"))
    options: dict[str, Any] = {"width": 16, "k": 6, "epochs": 1, "batch_size": 4, "num_points": 32}
    run = tmp_path / "run"
    config = TrainConfig(data="own.npz", model="mgic_diffgcn_seg", out=str(run), **options)
    train(config, Splits(clouds, clouds, None, ("low", "high")))
    folder = script("ship_weights").ship(run, "tiny", None, False, tmp_path)
    card = (folder / "README.md").read_text()
    found = json.loads((run / "result.json").read_text())["validation"]
    assert f"**{100 * found['mean_iou']:.2f} % mean IoU**" in card
    assert f"| low | {100 * found['per_class_iou']['low']:.1f} % |" in card
    assert 'segment_points("chair.ply", "tiny")' in card
    assert load_model(folder / "model.safetensors")[1].task == "point_segmentation"


def test_weights_that_nobody_judged(script: Script, runs: Path, tmp_path: Path) -> None:
    folder = script("ship_weights").ship(runs / "all", "tiny", None, True, tmp_path)
    assert "no figure of accuracy yet" in (folder / "README.md").read_text()


def test_a_card_says_what_spoilt_clouds_cost(script: Script, runs: Path, tmp_path: Path) -> None:
    program: Any = script("ship_weights")
    figures = dict.fromkeys(program.CORRUPTIONS, 90.5) | {
        "clean": 97.0,
        "view 5": 80.25,
        "mce": 0.5,
    }
    rows = tmp_path / "corruptions.csv"
    rows.write_text(
        "row,metric,ours\n" + "".join(f"ours,{name},{value}\n" for name, value in figures.items())
    )
    run = runs / "validated"
    folder = program.ship(run, "tiny", None, False, tmp_path, corruptions="ours", results=rows)
    card = (folder / "README.md").read_text()
    assert "| view | 90.5 % | 80.2 % |" in card
    assert "| scale | 90.5 % |  |" in card
    assert "as 1: **0.500**" in card
    assert "headings as in the data" in card
    with pytest.raises(DataError, match="no row 'theirs'"):
        program.ship(run, "tiny", None, False, tmp_path, corruptions="theirs", results=rows)
    config = yaml.safe_load((run / "config.yaml").read_text())
    robust = config["augment"] | {"rotate_degrees": 180.0, "view": 0.2}
    assert "any heading" in program._limits(robust)
    assert "one side seen" in program._limits(robust)


@pytest.mark.parametrize(
    ("run", "validated", "limit", "text"),
    [
        ("all", None, None, "give one with --validated"),
        ("all", "dgcnn", None, "a run of dgcnn, not of mgic_diffgcn"),
        ("validated", None, 1000, "at most 1,000"),
        ("nowhere", None, None, "not the folder of a finished run"),
    ],
)
def test_what_is_not_shipped(
    script: Script,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    run: str,
    validated: str | None,
    limit: int | None,
    text: str,
) -> None:
    program: Any = script("ship_weights")
    monkeypatch.setattr(program, "LIMIT", limit or program.LIMIT)
    monkeypatch.setattr(program.ship, "__defaults__", (False, tmp_path, None, tmp_path))
    options = [] if validated is None else ["--validated", str(runs / validated)]
    assert program.main([str(runs / run), "tiny", *options]) == 1
    assert text in capsys.readouterr().err
    assert not (tmp_path / "weights").exists()
