from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgic_geo.datasets import MODELNET10_CLASSES

Cli = Callable[..., Any]


def rewrite(source: Path, target: Path, **changes: Any) -> Path:
    with np.load(source) as arrays:
        np.savez(target, **{**arrays, **changes})
    return target


def test_json_is_complete_consistent_and_repeatable(
    cli: Cli, weights: Path, clouds_npz: Path
) -> None:
    done = cli("evaluate", "--data", clouds_npz, "--weights", weights, "--json")
    result = done.json
    matrix = np.array(result["confusion_matrix"])
    assert done.code == 0
    assert result["classes"] == list(MODELNET10_CLASSES)
    assert matrix.sum() == result["num_shapes"] == 40
    assert result["accuracy"] == pytest.approx(np.trace(matrix) / 40, abs=1e-6)
    recall = np.diag(matrix) / matrix.sum(axis=1)
    assert list(result["per_class_accuracy"].values()) == pytest.approx(recall, abs=1e-6)
    assert result["mean_class_accuracy"] == pytest.approx(recall.mean(), abs=1e-6)
    assert cli("evaluate", "--data", clouds_npz, "--weights", weights, "--json").out == done.out


def test_labels_follow_the_names_of_the_classes(
    cli: Cli, weights: Path, clouds_npz: Path, tmp_path: Path
) -> None:
    def figures(file: Path) -> Any:
        return cli("evaluate", "--data", file, "--weights", weights, "--json").json

    whole = figures(clouds_npz)
    # a cloud's own number does not matter, so neither does the order of the classes
    with np.load(clouds_npz) as arrays:
        order = np.random.default_rng(0).permutation(10)
        label, classes = np.argsort(order)[arrays["label"]], arrays["classes"][order]
        some = np.isin(arrays["label"], [1, 4])
        subset = {"points": arrays["points"][some], "name": arrays["name"][some]}
        subset |= {
            "label": (arrays["label"][some] == 4).astype(int),
            "classes": np.array(["bed", "dresser"]),
        }
    shuffled = figures(rewrite(clouds_npz, tmp_path / "a.npz", label=label, classes=classes))
    assert shuffled["confusion_matrix"] == whole["confusion_matrix"]
    part = figures(rewrite(clouds_npz, tmp_path / "b.npz", **subset))
    rows = [i for i, row in enumerate(part["confusion_matrix"]) if any(row)]
    assert rows == [1, 4]
    assert [part["confusion_matrix"][i] for i in rows] == [
        whole["confusion_matrix"][i] for i in rows
    ]
    assert part["per_class_accuracy"]["chair"] is None


def test_the_validation_part_of_a_run_gives_its_figures(
    cli: Cli, clouds_npz: Path, tmp_path: Path
) -> None:
    # names out of order, as in many a file
    names = np.array([f"shape_{(7 * i) % 40:02d}" for i in range(40)])
    data = rewrite(clouds_npz, tmp_path / "named.npz", name=names)
    changes = ["--epochs", "1", "--steps_per_epoch", "2", "--num_points", "64", "--width", "16"]
    run = tmp_path / "run"
    done = cli("train", "--data", data, "--val_fraction", "0.5", *changes, "--out", run)
    assert done.code == 0
    expected = json.loads((run / "result.json").read_text())["validation"]
    found = cli("evaluate", "--data", data, "--val_fraction", "0.5", "--weights", run, "--json")
    assert {name: found.json[name] for name in expected} == expected
    whole = cli("evaluate", "--data", data, "--weights", run, "--json").json
    assert whole["num_shapes"] == 2 * expected["num_shapes"] == 40


def test_a_fold_of_a_run_gives_its_figures(cli: Cli, clouds_npz: Path, tmp_path: Path) -> None:
    changes = ["--epochs", "1", "--steps_per_epoch", "2", "--num_points", "64", "--width", "16"]
    run = tmp_path / "run"
    done = cli("train", "--data", clouds_npz, "--fold", "1", *changes, "--out", run)
    assert done.code == 0, done.err
    expected = json.loads((run / "result.json").read_text())["validation"]
    found = cli("evaluate", "--data", clouds_npz, "--fold", "1", "--weights", run, "--json")
    assert {name: found.json[name] for name in expected} == expected
    assert 0 < expected["num_shapes"] <= 10


def test_fused_weights_say_the_same(cli: Cli, weights: Path, clouds_npz: Path) -> None:
    words = ("evaluate", "--data", clouds_npz, "--weights", weights, "--json")
    assert cli(*words, "--fuse").json == cli(*words).json


def test_table(cli: Cli, weights: Path, clouds_npz: Path) -> None:
    result = cli("evaluate", "--data", clouds_npz, "--weights", weights, "--json").json
    done = cli("evaluate", "--data", clouds_npz, "--weights", weights)
    assert done.code == 0
    assert all(name in done.out for name in MODELNET10_CLASSES)
    assert f"accuracy {100 * result['accuracy']:.2f} %, mean class" in done.out


def test_pictures(cli: Cli, weights: Path, clouds_npz: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra viz")
    command = ("evaluate", "--data", clouds_npz, "--weights", weights)
    assert cli(*command, "--pictures", "drawn").code == 0
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == [
        "confusion.png",
        "mistakes.png",
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--data", "nothing"), "no data set 'nothing'"),
        (
            ("--data", "alien.npz"),
            "alien.npz: the weights do not know spaceship; they know bathtub,",
        ),
        (("--num_points", 65), "has 64 points|have 64 points"),
        (("--num_points", 5), "k = 6"),
        (("--weights", "nowhere"), "no weights at nowhere"),
        (("--weights", "bad.safetensors"), "bad.safetensors: not a readable safetensors file"),
    ],
)
def test_refusals(
    cli: Cli, weights: Path, clouds_npz: Path, tmp_path: Path, options: tuple[Any, ...], text: str
) -> None:
    with np.load(clouds_npz) as arrays:
        classes = np.array([*arrays["classes"][:-1], "spaceship"])
    rewrite(clouds_npz, tmp_path / "alien.npz", classes=classes)
    (tmp_path / "bad.safetensors").write_bytes(weights.read_bytes()[:1000])
    done = cli("evaluate", "--data", clouds_npz, "--weights", weights, *options)
    assert (done.code, done.out) == (1, "")
    assert any(part in done.err for part in text.split("|"))
    assert done.err.count("\n") <= 2


def test_shipped_weights_are_the_default(cli: Cli, clouds_npz: Path) -> None:
    from mgic_geo.models import DEFAULT_WEIGHTS, list_weights

    done = cli("evaluate", "--data", clouds_npz, "--num_points", 64, "--json")
    if DEFAULT_WEIGHTS in list_weights():
        assert done.json["weights"] == DEFAULT_WEIGHTS
    else:
        assert (done.code, DEFAULT_WEIGHTS in done.err) == (1, True)


def test_corruptions_are_measured_against_reference_weights(
    cli: Cli, weights: Path, clouds_npz: Path
) -> None:
    words = ["evaluate", "--data", clouds_npz, "--weights", weights, "--num_points", "64"]
    found = cli(*words, "--corruptions", "jitter,up", "--reference", weights, "--json").json
    assert list(found["accuracy"]) == ["jitter", "up"]
    assert all(len(shares) == 5 for shares in found["accuracy"].values())
    assert found["corruption_error"] == {"jitter": 1.0, "up": 1.0}
    assert found["mean_corruption_error"] is None  # the other six are missing
    shown = cli(*words, "--corruptions", "up").out
    assert "severity 5" in shown
    assert f"as they are {100 * found['clean']:.2f} %" in shown
    wrong = cli(*words, "--corruptions", "rain")
    assert wrong.code == 1
    assert "--corruptions rain: use some of scale" in wrong.err
