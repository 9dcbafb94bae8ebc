from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def program(tiny_models: None, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, whose own model is registered for one test."""
    monkeypatch.delitem(sys.modules, "scripts.point_and_image", raising=False)
    return importlib.import_module("scripts.point_and_image")


def test_the_three_networks_are_compared(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "pictures" / "views.png"
    options = ["--quick", "--picture", str(picture), "--image", "resnet20"]
    results = program.main([*options, "--size", "16", "--views", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert list(results) == ["points", "views", "both"]
    for line, (kind, result) in zip(lines[-3:], results.items(), strict=True):
        assert line.split()[0] == kind
        assert line.endswith(f" {100 * result['test']['accuracy']:.2f} %")
        assert (result["chosen_epoch"], result["train_shapes"]) == (1, 20)
    points, views, both = (result["parameters"] for result in results.values())
    assert both > points + views - 10 * (64 + 64 + 2)  # without the last layers of its parts


def test_without_matplotlib_it_goes_on(
    program: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(program, "KINDS", ())
    assert program.main(["--quick", "--picture", str(tmp_path / "x.png")]) == {}
    assert "no picture" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_budgets_are_equal(program: ModuleType) -> None:
    options = argparse.Namespace(
        **{"point": "dgcnn", "image": "resnet20", "views": 2, "size": 16, "num_points": 64},
        **{"epochs": 2, "batch_size": 4, "lr": 0.01, "seed": 3},
    )
    points, views, both = (vars(program.configure(kind, options, "runs")) for kind in program.KINDS)
    own = {"model", "model_options", "out"}
    for other in (views, both):
        assert {name for name in points if points[name] != other[name]} == own
