from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mgic_geo.errors import DataError
from mgic_geo.viz import plot_confusion, plot_curves, training

pytest.importorskip("matplotlib", reason="pictures need the extra viz")

HEADER = "epoch,train_loss,train_accuracy,val_loss,val_accuracy,val_mean_class_accuracy,lr,seconds"
ROWS = ["1,2.0,0.3,1.9,0.4,0.35,0.001,2", "2,1.0,0.6,1.2,0.7,0.65,0.001,2", "3,0.9,0.7,,,,0.001,2"]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures as they are before they become pixels."""
    kept: list[Any] = []
    save = training.save_figure
    monkeypatch.setattr(
        training, "save_figure", lambda fig, path: kept.append(fig) or save(fig, path)
    )
    return kept


def metrics(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "metrics.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_confusion_shows_counts_and_both_accuracies(tmp_path: Path, figures: list[Any]) -> None:
    matrix = torch.tensor([[8, 2, 0], [0, 5, 5], [0, 0, 0]])
    path = plot_confusion(matrix, ["bed", "night_stand", "empty"], tmp_path / "c.png")
    (axes,) = figures[0].axes
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "accuracy 65.0 %, mean over classes 65.0 % (20 shapes)" in axes.get_title()
    assert sorted(text.get_text() for text in axes.texts) == ["2", "5", "5", "8"]
    np.testing.assert_allclose(axes.images[0].get_array()[1], [0.0, 0.5, 0.5])
    assert [tick.get_text() for tick in axes.get_yticklabels()][1] == "night stand"


def test_confusion_of_pixels_shows_shares(tmp_path: Path, figures: list[Any]) -> None:
    matrix = np.array([[300_000, 100_000], [1, 1_200_000]])
    plot_confusion(matrix, ["road", "sky"], tmp_path / "c.png", "pixels")
    (axes,) = figures[0].axes
    assert "(1,600,001 pixels); cells in %" in axes.get_title()
    assert [text.get_text() for text in axes.texts] == ["75", "25", "100"]


@pytest.mark.parametrize(
    ("columns", "best"),
    [
        ("val_accuracy,val_top5_accuracy,val_mean_class_accuracy", "best 70.0 % in epoch 1"),
        ("val_mean_iou,val_accuracy,val_mean_class_accuracy", "best 90.0 % in epoch 2"),
    ],
)
def test_curves_mark_what_chose_the_epoch(
    tmp_path: Path, figures: list[Any], columns: str, best: str
) -> None:
    header = f"epoch,train_loss,train_accuracy,val_loss,{columns},lr,seconds"
    rows = ["1,2.0,0.3,1.9,0.7,0.6,0.3,0.001,2", "2,1.0,0.6,1.2,0.69,0.61,0.4,0.001,2"]
    if "iou" in columns:
        rows[1] = rows[1].replace("0.69", "0.9")
    plot_curves(metrics(tmp_path, *rows, header=header), tmp_path / "c.png")
    accuracy = figures[0].axes[1]
    assert accuracy.get_title() == best
    assert len(accuracy.get_legend().get_texts()) == 4


def test_confusion_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 classes cannot have shape \(3, 3\)"):
        plot_confusion(np.eye(3), ["a", "b"], tmp_path / "c.png")


def test_curves_skip_what_was_not_measured_and_mark_the_best(
    tmp_path: Path, figures: list[Any]
) -> None:
    path = plot_curves(metrics(tmp_path, *ROWS), tmp_path / "curves.png")
    loss, accuracy = figures[0].axes
    assert path.read_bytes().startswith(b"\x89PNG")
    drawn = {line.get_label(): line.get_xydata().tolist() for line in loss.lines}
    assert drawn["training"] == [[1, 2.0], [2, 1.0], [3, 0.9]]
    assert drawn["validation"] == [[1, 1.9], [2, 1.2]]
    assert accuracy.get_title() == "best 65.0 % in epoch 2"


@pytest.mark.parametrize("drop", ["", "val_mean_class_accuracy"])
def test_curves_of_a_single_epoch(tmp_path: Path, figures: list[Any], drop: str) -> None:
    names = HEADER.split(",")
    cells = [cell for name, cell in zip(names, ROWS[0].split(",")) if name != drop]
    header = ",".join(name for name in names if name != drop)
    plot_curves(metrics(tmp_path, ",".join(cells), header=header), tmp_path / "c.png")
    best = 40 if drop else 35
    assert figures[0].axes[1].get_title() == f"best {best}.0 % in epoch 1"


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ((), HEADER, "no epoch yet"),
        (
            ("1,2",),
            "epoch,train_loss",
            "train_accuracy, val_loss, val_accuracy are missing",
        ),
        (("1,x,0,0,0,0,0,0",), HEADER, "a cell is not a number"),
    ],
)
def test_unusable_metrics(tmp_path: Path, rows: tuple[str, ...], header: str, message: str) -> None:
    with pytest.raises(DataError, match=f"metrics.csv: .*{message}"):
        plot_curves(metrics(tmp_path, *rows, header=header), tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()
