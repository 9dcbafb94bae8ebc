from __future__ import annotations

from pathlib import Path

import pytest

from mgic_geo.datasets.furniture.dataset import PER_CLASS
from scripts.experiments import segmentation
from scripts.experiments._program import program
from scripts.experiments._rows import read_rows


def test_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="the experiment draws a picture")
    monkeypatch.chdir(tmp_path)
    for split, count in (("train", 2), ("test", 1)):
        monkeypatch.setitem(PER_CLASS, split, count)
    folders = ["--out", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")]
    for _ in range(2):  # the second time all is there
        assert program(segmentation.EXPERIMENT, ["--quick", *folders]) == 0
    assert (tmp_path / "results" / "segmentation.png").is_file()
    rows = read_rows(tmp_path / "results" / "segmentation.csv")
    assert {row["row"] for row in rows} == set(segmentation.MODELS)
    assert {row["metric"] for row in rows} <= set(segmentation.EXPERIMENT.columns)
    assert {row["note"] for row in rows} == {"10 test shapes; the last epoch"}
