from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.io import write_off

for module in ("jinja2", "markdown_it"):
    pytest.importorskip(module, reason="reports need the extra viz")

Cli = Callable[..., Any]


def content(page: Path) -> Any:
    found = re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"))
    assert found is not None
    return json.loads(found[1])


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two shapes and a file that is none."""
    write_off(tmp_path / "chair.off", furniture_mesh("chair", seed=1))
    np.save(tmp_path / "cloud.npy", np.random.default_rng(0).normal(size=(80, 3)))
    (tmp_path / "bad.off").write_text("OFF\n3 1 0\n0 0 0\n")
    return ["chair.off", "bad.off", "cloud.npy"]


def test_prediction_report_says_what_the_command_says(
    cli: Cli, weights: Path, files: list[str], tmp_path: Path
) -> None:
    command = ("predict", *files, "--weights", weights, "--json")
    plain = cli(*command)
    done = cli(*command, "--report", "new/out.html")
    assert (done.code, done.out) == (plain.code, plain.out)
    found = content(tmp_path / "new" / "out.html")
    results = [result for result in done.json if "error" not in result]
    assert [entry["name"] for entry in found["clouds"]] == ["chair.off", "cloud.npy"]
    for entry, result in zip(found["clouds"], results):
        assert [found["classes"][i] for i, _ in entry["top"]] == [
            top["class"] for top in result["top"]
        ]
        assert entry["points"] == result["num_points"] == 64
        assert not entry["explained"]
    page = (tmp_path / "new" / "out.html").read_text("utf-8")
    assert "<b>bad.off</b> <span>not a readable OFF file" in page
    assert "<dt>a file, median</dt>" in page


def test_importances_are_in_report_and_json(
    cli: Cli, weights: Path, files: list[str], tmp_path: Path
) -> None:
    command = ("predict", files[0], "--weights", weights, "--json", "--explain")
    done = cli(*command, "--report", "out.html")
    (result,) = done.json
    assert done.code == 0, done.err
    explanation = result["explanation"]
    assert explanation["class"] == result["class"]
    assert np.shape(explanation["points"]) == (64, 3)
    assert np.shape(explanation["importance"]) == (64,)
    assert np.ptp(explanation["importance"]) > 0
    assert cli(*command).out == done.out
    (coloured,) = cli(*command, "--out", "new").json
    assert coloured["explanation"].pop("file") == str(Path("new") / "chair_explained.ply")
    assert coloured == result
    header = (tmp_path / "new" / "chair_explained.ply").read_bytes()[:500]
    assert b"element vertex 64" in header
    assert b"property uchar red" in header
    assert content(tmp_path / "out.html")["clouds"][0]["explained"]


def test_evaluation_report_counts_what_the_command_counts(
    cli: Cli, weights: Path, clouds_npz: Path, tmp_path: Path
) -> None:
    command = ("evaluate", "--data", clouds_npz, "--weights", weights, "--json")
    done = cli(*command, "--report", "out.html")
    assert done.out == cli(*command).out
    found, page = content(tmp_path / "out.html"), (tmp_path / "out.html").read_text("utf-8")
    classes = done.json["classes"]
    assert found["classes"] == classes
    for truth, row in zip(classes, done.json["confusion_matrix"]):
        for predicted, count in zip(classes, row):
            cell = f'aria-label="{truth} taken for {predicted}: {count}"'
            assert (cell in page) == (count > 0)
            truth_is, predicted_is = classes.index(truth), classes.index(predicted)
            shown = [
                entry
                for entry in found["clouds"]
                if (entry["truth"], entry["top"][0][0]) == (truth_is, predicted_is)
            ]
            assert len(shown) == count
    assert f"<dd>{100 * done.json['accuracy']:.2f} %</dd>" in page
    with np.load(clouds_npz) as arrays:
        truths = {n: int(i) for n, i in zip(arrays["name"], arrays["label"])}
    assert {entry["name"]: entry["truth"] for entry in found["clouds"]} == truths


def test_names_follow_the_validation_part(
    cli: Cli, weights: Path, clouds_npz: Path, tmp_path: Path
) -> None:
    command = ("evaluate", "--data", clouds_npz, "--val_fraction", 0.25, "--weights", weights)
    assert cli(*command, "--report", "out.html").code == 0
    with np.load(clouds_npz) as arrays:
        last = {max(arrays["name"][arrays["label"] == c]): c for c in range(10)}
    found = content(tmp_path / "out.html")["clouds"]
    assert {entry["name"]: entry["truth"] for entry in found} == last


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("out.pdf", "out.pdf: a report is an HTML file; name it .html"),
        ("chair.off/out.html", "chair.off/out.html: chair.off is a file, not a folder"),
    ],
)
def test_what_would_stop_a_report_is_said_before_the_work(
    cli: Cli, weights: Path, files: list[str], clouds_npz: Path, path: str, text: str
) -> None:
    for command in (("predict", *files), ("evaluate", "--data", clouds_npz)):
        done = cli(*command, "--weights", weights, "--report", path)
        assert (done.code, done.out) == (1, "")
        assert text in done.err
        assert done.err.count("\n") == 1


def test_a_missing_extra_is_said_before_the_work(
    cli: Cli, weights: Path, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    done = cli("predict", files[0], "--weights", weights, "--report", "out.html")
    assert (done.code, done.out) == (1, "")
    assert 'pip install "mgic_geo[viz]"' in done.err


def test_the_card_of_shipped_weights_is_shown(cli: Cli, files: list[str], tmp_path: Path) -> None:
    assert cli("predict", files[0], "--num_points", 64, "--report", "out.html").code == 0
    page = (tmp_path / "out.html").read_text("utf-8")
    assert "<h3>modelnet10-mgic-diffgcn</h3>" in page
    assert "<dt>parameters</dt><dd>106,218</dd>" in page


def test_what_does_not_go_together_is_said(
    cli: Cli, weights: Path, files: list[str], clouds_npz: Path
) -> None:
    command = ("evaluate", "--data", clouds_npz, "--weights", weights)
    done = cli(*command, "--corruptions", "jitter", "--report", "out.html")
    assert (done.code, done.out) == (1, "")
    assert "leave --corruptions away" in done.err
