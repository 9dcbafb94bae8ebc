from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import pytest
import torch
from torch import Tensor, nn

from mgic_geo.models import create_model
from scripts.experiments import table_08
from scripts.experiments._experiment import Context
from scripts.experiments._program import program
from scripts.experiments._rows import read_rows

TINY = table_08.Line("tiny", 130.0, 795.0, "tiny_cnn")


@pytest.fixture(autouse=True)
def _tiny(tiny_models: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of two layers in the table's place: torch takes minutes to compile the others."""
    monkeypatch.setattr(table_08, "LINES", (TINY,))


def quick(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of a quick run by their metrics."""
    assert program(table_08.EXPERIMENT, ["--quick", "--out", str(folder)]) == 0
    return {row["metric"]: row for row in read_rows(folder / "table_08.csv")}


def absent() -> set[str]:
    """The columns of ExecuTorch where it is not installed."""
    return set() if importlib.util.find_spec("executorch") else {"xnnpack", "xnnpack_int8"}


def test_all_forms_compute_the_network() -> None:
    pytest.importorskip("onnxruntime")
    context = Context(table_08.EXPERIMENT, quick=True)
    with torch.no_grad(), table_08.one_thread():
        model, x = table_08.prepare(TINY, 40)
        chosen = table_08.forms(context)
        found = {form.metric for form in chosen}
        assert found == set(table_08.EXPERIMENT.columns) - absent()
        for form in chosen:
            if form.metric != "xnnpack_int8":
                torch.testing.assert_close(form.build(model, x)(), model(x), rtol=1e-4, atol=1e-5)


def test_a_row_has_a_number_of_each_form_on_one_thread(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    before = torch.get_num_threads(), numba.get_num_threads()
    rows = quick(tmp_path)
    assert (torch.get_num_threads(), numba.get_num_threads()) == before
    assert set(rows) == set(table_08.EXPERIMENT.columns) - absent()
    parameters = sum(p.numel() for p in create_model("tiny_cnn").parameters())
    for row in rows.values():
        assert row["ours"]
        assert ", 1 threads" in row["device"]
        assert "2 runs, quartiles" in row["note"]
        assert "largest difference" in row["note"]
        assert row["parameters"] == str(parameters)
    assert "onnxruntime " in rows["onnx"]["note"]
    printed = {"eager": "130", "xnnpack": "795"}
    assert all(row["paper"] == printed.get(metric, "") for metric, row in rows.items())


def test_without_the_extra_its_column_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "executorch.exir", None)
    assert list(quick(tmp_path)) == ["eager", "fused", "compiled"]
    out = capsys.readouterr().out
    assert "mgic_geo[onnx]" in out
    assert "mgic_geo[executorch]" in out


Build = Callable[[nn.Module, Tensor], Callable[[], Tensor]]


def broken(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    raise RuntimeError("no such operator")


def wrong(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    return lambda: 1.01 * model(x)


def undefined(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    return lambda: torch.nan * model(x)


def late(model: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    answers = [model(x)]  # enough to be checked
    return lambda: answers.pop()


@pytest.mark.parametrize(
    ("build", "note"),
    [
        (broken, "compiled, trial failed: RuntimeError: no such operator"),
        (wrong, "compiled, trial failed: ArithmeticError: the outputs differ by"),
        (undefined, "compiled, trial failed: ArithmeticError: the outputs differ by nan"),
        (late, "compiled, trial failed: IndexError: pop from empty list"),
    ],
)
def test_a_form_that_fails_is_a_note(
    build: Build, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = table_08.forms(Context(table_08.EXPERIMENT, quick=True))[0]
    chosen = [sound, table_08.Form("compiled", "trial", build)]
    monkeypatch.setattr(table_08, "forms", lambda context: chosen)
    rows = quick(tmp_path)
    assert list(rows) == ["eager"]
    assert note in rows["eager"]["note"]


def test_threads_come_back_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        seen.append((torch.get_num_threads(), numba.get_num_threads()))
        raise OSError("no room")

    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(table_08, "measure", fail)
    before = torch.get_num_threads(), numba.get_num_threads()
    assert program(table_08.EXPERIMENT, ["--quick", "--out", str(tmp_path)]) == 1
    assert "table_08: no room" in capsys.readouterr().err
    assert seen == [(1, 1)]
    assert (torch.get_num_threads(), numba.get_num_threads()) == before
