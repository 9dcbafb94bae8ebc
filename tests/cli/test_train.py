from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mgic_geo.training import loop

Cli = Callable[..., Any]
TINY = ("--num_points", 64, "--width", 16, "--k", 6, "--batch_size", 8, "--epochs", 2)


@pytest.fixture
def command(clouds_npz: Path) -> tuple[Any, ...]:
    return ("train", "--data", clouds_npz, "--val_fraction", 0.25, *TINY, "--out", "run")


def test_train_evaluate_and_predict_from_the_run_folder(
    cli: Cli, command: tuple[Any, ...], clouds_npz: Path, tmp_path: Path
) -> None:
    done = cli(*command)
    assert done.code == 0
    assert "validation accuracy" in done.out
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert {"config.yaml", "metrics.csv", "best.safetensors", "last.safetensors", "state.pt"} <= {
        file.name for file in (tmp_path / "run").iterdir()
    }
    whole = cli("evaluate", "--data", clouds_npz, "--weights", "run", "--json").json
    assert whole["parameters"] == result["parameters"]
    assert whole["num_points"] == 64

    again = cli(*command)
    assert (again.code, again.out) == (1, "")
    assert "run holds a run already" in again.err


def test_pictures_of_a_run(cli: Cli, command: tuple[Any, ...], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra viz")
    assert cli(*command, "--stop_after", 1).code == 0
    assert {"curves.png", "confusion.png"} <= {f.name for f in (tmp_path / "run").iterdir()}


def test_interrupted_run_says_how_to_go_on(
    cli: Cli, command: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = loop._Trainer.run_epoch

    def interrupted(trainer: Any) -> None:
        if trainer.epoch == 1:
            raise KeyboardInterrupt
        step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Trainer, "run_epoch", interrupted)
        stopped = cli(*command)
    assert stopped.code == 1
    assert "go on with  mgic-geo train run/config.yaml --resume true" in stopped.err
    done = cli("train", "run/config.yaml", "--resume", "true")
    assert done.code == 0
    assert done.out.startswith("epoch   2 ")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--model", "nonsense"), "no model named 'nonsense'"),
        (("--data", "gone.npz"), "no data set 'gone.npz'"),
        (("--epochs", 0), "epochs = 0: it must be at least 1"),
        (("--resume", "true"), "there is no run to resume"),
        (("--augment.drop", 0.95), "may leave fewer"),
        (("--augment.flip", 1.5), "augment.flip = 1.5: it must be in"),
        (("--num_points", 65), "64 points"),
    ],
)
def test_refusals_leave_nothing_behind(
    cli: Cli, command: tuple[Any, ...], tmp_path: Path, options: tuple[Any, ...], text: str
) -> None:
    done = cli(*command, *options)
    assert (done.code, done.out) == (1, "")
    assert text in done.err
    assert not (tmp_path / "run").exists()
