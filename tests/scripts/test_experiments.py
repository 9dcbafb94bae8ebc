from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mgic_geo.datasets.modelnet import MODELNET10_CLASSES
from mgic_geo.errors import MgicGeoError
from mgic_geo.io import file_lock
from mgic_geo.models import create_model
from mgic_geo.training import TrainConfig
from mgic_geo.training.data import make_splits
from scripts.experiments import __main__ as all_of_them
from scripts.experiments import (
    _imagenet,
    _report,
    _training,
    _trial,
    cifar10,
    corruptions,
    coupling,
    image_trials,
    pyramids,
    recipe,
    table_03,
    table_05,
    table_07,
    table_09,
    table_11,
    table_12,
    width,
)
from scripts.experiments._experiment import Context, Experiment
from scripts.experiments._list import NAMES, load
from scripts.experiments._program import program
from scripts.experiments._rows import read_rows

RESULTS = Path(__file__).parents[2] / "results"
CONFIGS = Path(__file__).parents[2] / "configs"
CLASSES = len(MODELNET10_CLASSES)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets that are read leave their caches beside the test."""
    monkeypatch.chdir(tmp_path)


def made(run: Any = None, **facts: Any) -> Experiment:
    columns = {"score": ("score, %", ".1f")}
    return Experiment("trial", "A trial", "What it is.", run, columns, **facts)


@pytest.fixture
def clouds(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "clouds.npz"
    points = rng.normal(size=(5 * CLASSES, 128, 3)).astype(np.float32)
    label = np.repeat(np.arange(CLASSES), 5)
    np.savez(path, points=points, label=label, classes=MODELNET10_CLASSES)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    from PIL import Image

    from mgic_geo.datasets.images import CIFAR10_CLASSES

    rng = np.random.default_rng(0)
    for name in CIFAR10_CLASSES:
        (tmp_path / "cifar" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "cifar" / name / f"{i:05d}.png")
    return tmp_path / "cifar"


def test_a_row_replaces_its_older_self_alone(tmp_path: Path) -> None:
    context = Context(made(), out=tmp_path)
    for seed, score in ((0, 1.0), (1, 3.0), (0, 2.0)):
        context.record("a", {"score": score}, seed=seed, epochs=5)
    context.record("b", {"score": 7.0})
    found = {(row["row"], row["seed"]): row["ours"] for row in read_rows(tmp_path / "trial.csv")}
    assert found == {("a", "0"): "2", ("a", "1"): "3", ("b", ""): "7"}
    assert context.has("a", "score", 1)
    assert not Context(made(), full=True, out=tmp_path).has("a", "score", 1)


def test_the_report_has_means_and_keeps_the_paper_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_report, "load", lambda: [made(paper="network")])
    context = Context(made(), out=tmp_path)
    for seed, score in ((0, 90.0), (1, 92.0)):
        context.record("ours", {"score": score}, {"score": 95.5}, seed=seed, epochs=5, macs=2.5e6)
    context.record("theirs", {}, {"score": 99.9})
    Context(made(), quick=True, out=tmp_path).record("ours", {"score": 10.0}, seed=0)
    text = _report.report(tmp_path)
    assert "| network | MACs | score, % | paper | budget |" in text
    assert "| ours | 2.5M | 91.0 ± 1.4 | 95.5 | 5 epochs, 2 seeds |" in text
    assert "| theirs |  |  | 99.9 |  |" in text
    (tmp_path / "trial.csv").unlink()
    context.record("theirs", {}, {"score": 99.9})
    assert "| network | score, % (paper) |" in _report.report(tmp_path)
    context = Context(made(), full=True, out=tmp_path)
    context.record("ours", {"score": 94.0}, seed=0, epochs=50, macs=2.5e6)
    assert "| ours | 2.5M | 94.0 |  | 50 epochs, 1 seed |" in _report.report(tmp_path)


def test_the_committed_report_is_that_of_the_committed_rows() -> None:
    assert (RESULTS / "README.md").read_text("utf-8") == _report.report(RESULTS)


@pytest.mark.parametrize("name", NAMES)
def test_every_committed_number_says_where_it_is_from(name: str) -> None:
    experiment = load([name])[0]
    rows = read_rows(RESULTS / f"{name}.csv")
    for row in rows:
        assert row["metric"] in experiment.columns
        assert row["budget"] != "quick"
        own = [row[column] for column in ("ours", "command", "commit", "versions", "date")]
        assert all(own) or not any(own)  # what is the paper's alone has none of these
        assert row["ours"] or row["paper"]


def test_a_failure_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(context: Context) -> None:
        raise MgicGeoError("the data are not here")

    ran: list[str] = []
    parts = [made(fail), made(lambda context: ran.append(context.budget))]
    monkeypatch.setattr(all_of_them, "load", lambda names: parts)
    assert all_of_them.main(["--quick", "--runs", str(tmp_path)]) == 1
    assert ran == ["quick"]
    assert "trial: the data are not here" in capsys.readouterr().err
    assert program(made(fail), ["--out", str(tmp_path)]) == 1
    with pytest.raises(SystemExit):
        all_of_them.main(["table_99"])
    assert "no experiment table_99; there are table_01" in capsys.readouterr().err
    assert program(made(fail), ["--source", "cifar10"]) == 1
    assert "--source takes DATA=PATH" in capsys.readouterr().err


def quick(module: Any, tmp_path: Path, *words: str) -> list[dict[str, str]]:
    folders = ["--out", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")]
    assert program(module.EXPERIMENT, ["--quick", *folders, *words]) == 0
    return read_rows(tmp_path / "results" / f"{module.EXPERIMENT.name}.csv")


def test_a_run_that_has_ended_is_not_run_again(
    tmp_path: Path, clouds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--source", f"modelnet10={clouds}", "DGCNN", "MGIC-diffGCN")
    rows = quick(table_11, tmp_path, *words)
    assert {(row["row"], row["metric"]) for row in rows} == {
        (name, metric)
        for name in ("DGCNN", "MGIC-diffGCN")
        for metric in ("parameters", "macs", "class_accuracy", "accuracy", "step")
    }
    assert "epoch   1" in capsys.readouterr().out
    result = tmp_path / "runs/table_11/DGCNN-quick-s0/result.json"
    stored = json.loads(result.read_text())
    stored["validation"]["accuracy"] = 0.125
    result.write_text(json.dumps(stored))
    rows = quick(table_11, tmp_path, *words)
    assert "epoch   1" not in capsys.readouterr().out
    found = {(row["row"], row["metric"]): row["ours"] for row in rows}
    assert found["DGCNN", "accuracy"] == "12.5"
    assert (tmp_path / "results/table_11.png").exists()
    shutil.rmtree(tmp_path / "runs")  # another machine: the rows say that it was done
    assert quick(table_11, tmp_path, *words, "--seeds", "1")[0] == rows[0]
    assert "epoch   1" not in capsys.readouterr().out
    result.parent.mkdir(parents=True)
    stored["epochs"] = 0  # a run that was cut
    result.write_text(json.dumps(stored))
    quick(table_11, tmp_path, *words)
    assert json.loads(result.read_text())["epochs"] == 1


def test_cifar_rows(tmp_path: Path, images: Path) -> None:
    source = ("--source", f"cifar10={images}")
    rows = quick(table_03, tmp_path, *source, "ResNet-20", "AMC-ResNet-56")
    ours = {row["row"] for row in rows if row["ours"]}
    assert ours == {"ResNet-20"}
    assert any(row["metric"] == "step" and float(row["ours"]) > 0 for row in rows)
    rows = quick(table_12, tmp_path, *source, "*s_g = 4,*", "*s_c = 32")
    assert {row["row"] for row in rows} == {"s_g = 4, s_c = 16", "s_g = 16, s_c = 32"}
    rows = quick(table_07, tmp_path, *source, "MobileNetV3-Small*", "ShuffleNetV1 0.5x*")
    counted = {row["metric"]: row for row in rows if row["ours"]}
    assert set(counted) == {"parameters", "macs", "bare_macs", "small"}
    model = create_model("mobilenetv3_small", width_mult=0.75)
    assert counted["parameters"]["ours"] == str(sum(p.numel() for p in model.parameters()))
    assert counted["parameters"]["paper"] == "2400000"


def test_one_schedule_for_all_of_cifar10(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--source", f"cifar10={images}", "ResNet-56, width 10")
    rows = quick(cifar10, tmp_path, *words)
    assert {(row["row"], row["metric"]) for row in rows} == {("ResNet-56, width 10", "accuracy")}
    shutil.rmtree(tmp_path / "results")
    folder = _training.run_folder(
        Context(cifar10.EXPERIMENT, quick=True, runs=tmp_path / "runs"), rows[0]["row"], 0
    )
    with file_lock(folder.with_name(f"{folder.name}.lock")):
        assert quick(cifar10, tmp_path, *words) == []
    assert "another process is at it" in capsys.readouterr().out
    # nothing but the network differs, and each can be built
    configs = [dataclasses.asdict(cifar10.recipe(Context(made()), line)) for line in cifar10.LINES]
    for config in configs:
        with torch.device("meta"):
            create_model(config.pop("model"), **config.pop("model_options"))
    assert all(config == configs[0] for config in configs)


def test_image_trials(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ("--source", f"cifar10={images}")
    rows = quick(image_trials, tmp_path, *source, "--seeds", "1", "ResNet-20, width 10")
    assert {row["metric"] for row in rows} == {"loss", "accuracy", "step"}
    assert rows[0]["note"] == '4 steps of 8; resnet20 {"width": 10}'
    names = [image_trials.row_of(line) for line in image_trials.LINES]
    assert len(set(names)) == len(names)
    for line in image_trials.LINES:
        with torch.device("meta"):
            create_model(line.model, **line.options)

    # a trial that is stopped ends as one that is not
    context = Context(made(), quick=True, sources={"cifar10": str(images)})
    trial = _trial.Trial(image_trials.recipe(context, image_trials.LINES[1], 3), steps=5)
    splits = make_splits(trial.config)
    whole = _trial.run_trial(trial, splits, tmp_path / "whole")
    batch = _trial._batch

    def stopping(task: Any, numbers: Any, step: int) -> Any:
        if step == 3:
            raise KeyboardInterrupt
        return batch(task, numbers, step)

    monkeypatch.setattr(_trial, "_SAVED", 2)
    monkeypatch.setattr(_trial, "_batch", stopping)
    with pytest.raises(KeyboardInterrupt):
        _trial.run_trial(trial, splits, tmp_path / "parts")
    torch.manual_seed(99)
    monkeypatch.setattr(_trial, "_batch", batch)
    parts = _trial.run_trial(trial, splits, tmp_path / "parts")
    assert (parts.losses, parts.accuracy) == (whole.losses, whole.accuracy)
    assert not list((tmp_path / "parts").glob("*.pt"))


def test_segmentation_rows(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    tree = tmp_path / "scenes"
    for i in range(4):
        for folder, kind, high, shape in (
            ("images", "jpg", 256, (48, 64, 3)),
            ("labels", "png", 12, (48, 64)),
        ):
            (tree / folder).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, high, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(tree / folder / f"scene_{i}.{kind}")
    source = ("--source", f"camvid={tree}", "--source", f"camvid_val={tree}")
    rows = quick(table_09, tmp_path, *source, "MGIC-Small*")
    assert {row["metric"] for row in rows if row["ours"]} == {"parameters", "city_macs", "camvid"}
    # images may not be handed on
    assert not list((tmp_path / "results").glob("*.png"))
    assert (tmp_path / "runs/table_09/table_09.png").exists()


def test_coupling_is_whole_with_the_hierarchy_alone(tmp_path: Path) -> None:
    found = {row["row"]: float(row["ours"]) for row in quick(coupling, tmp_path)}
    assert found["DiffGCN, MGIC"] == found["ResNet, MGIC"] == 100.0
    assert found["ResNet, grouped"] == 100.0 * coupling.GROUP_SIZE / coupling.CHANNELS
    assert found["DiffGCN, grouped"] <= 100.0 * coupling.GROUP_SIZE / coupling.CHANNELS


def test_width_rows(tmp_path: Path, clouds: Path) -> None:
    words = ("--source", f"modelnet10={clouds}", "*width 64", "*width 128")
    rows = quick(width, tmp_path, *words)
    sizes = {row["row"]: int(row["parameters"]) for row in rows if row["parameters"]}
    assert sizes["MGIC (16, 64), width 64"] == sizes["dense, width 64"]  # no coarsening there
    assert sizes["MGIC (8, 16), width 128"] < sizes["dense, width 128"] / 3


def test_recipe_rows(tmp_path: Path, clouds: Path) -> None:
    rows = quick(recipe, tmp_path, "--source", f"modelnet10={clouds}", "the recipe", "k = 20")
    assert {row["row"] for row in rows} == {"the recipe", "k = 20"}
    # another graph, the same weights
    assert len({row["parameters"] for row in rows}) == 1


def test_rows_of_the_recipe_differ_in_what_they_name() -> None:
    context = Context(made())
    configs = {row: recipe.config_of(context, changes) for row, changes in recipe.LINES.items()}
    base = dataclasses.asdict(configs.pop("the recipe"))
    changed = []
    for config in configs.values():
        mine = dataclasses.asdict(config)
        changed.append({name for name, value in mine.items() if value != base[name]})
        with torch.device("meta"):
            create_model(config.model, **config.model_args())
    assert [len(names) for names in changed] == [1] * len(configs)


def test_pyramid_rows(tmp_path: Path, clouds: Path) -> None:
    rows = quick(pyramids, tmp_path, "--source", f"modelnet10={clouds}", "all shapes", "*flat")
    assert {row["row"] for row in rows} == {"MGIC-diffGCN, flat, fold 0"}
    assert set(pyramids.TIMED) <= {line.name for line in pyramids.LINES}
    names = {row["metric"] for row in rows}
    assert {"accuracy", "class_accuracy", *(f"class {c}" for c in MODELNET10_CLASSES)} == names
    config = pyramids.recipe(Context(made()), pyramids.LINES[0], None)
    assert (config.fold, config.val_fraction) == (None, 0.0)
    judged = [pyramids.recipe(Context(made()), line, 0) for line in pyramids.LINES]
    assert {(c.fold, c.epochs) for c in judged} == {(0, pyramids.EPOCHS)}
    for config in judged:
        with torch.device("meta"):
            create_model(config.model, **config.model_args())


def test_rows_of_corruptions_and_their_mean_error(tmp_path: Path, clouds: Path) -> None:
    words = ("--source", f"modelnet10={clouds}")
    rows = quick(corruptions, tmp_path, *words, "DGCNN, robust", corruptions.REFERENCE)
    found = {(row["row"], row["metric"]): float(row["ours"]) for row in rows}
    assert found[corruptions.REFERENCE, "mce"] == 1.0
    kinds = corruptions.MODELNET_C
    errors = [
        (100.0 - found["DGCNN, robust", kind]) / (100.0 - found[corruptions.REFERENCE, kind])
        for kind in kinds
    ]
    assert found["DGCNN, robust", "mce"] == pytest.approx(sum(errors) / 7, rel=1e-4)
    robust = [line for line in corruptions.LINES if line.recipe == "robust"]
    assert {corruptions.recipe(Context(made()), line).augment.view for line in robust} == {0.25}
    first = next(line for line in corruptions.LINES if line.name == corruptions.REFERENCE)
    usual = corruptions.recipe(Context(made()), first)
    assert (usual.augment.view, usual.epochs) == (0.0, corruptions.EPOCHS)


def test_every_row_builds_what_it_names() -> None:
    for line in (*table_05.LINES, *table_07.LINES):
        if line.model:
            with torch.device("meta"):
                create_model(line.model, **line.options)
        assert set(line.paper()) <= set(_imagenet.COLUMNS)
    with torch.device("meta"):
        for row in width.LINES:
            create_model(row.model, **row.options)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_configs_are_recipes_of_models_that_there_are(path: Path) -> None:
    config = TrainConfig.load(path)
    with torch.device("meta"):
        create_model(config.model, **config.model_args())
    assert config.data == path.stem.partition("_")[0]
    if path.stem == "imagenet":
        whole = _imagenet.recipe(Context(made(), full=True), table_05.LINES[0])
        assert whole.batch_size == 256 == 8 * config.batch_size
