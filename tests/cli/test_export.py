from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.io import write_off

Cli = Callable[..., Any]


def test_export_then_predict(cli: Cli, weights: Path, tmp_path: Path) -> None:
    chair, file = tmp_path / "chair.off", tmp_path / "model.onnx"
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx)")
    write_off(chair, furniture_mesh("chair", seed=1))
    made = cli("export", weights, "--out", file, "--json")
    assert made.code == 0, made.err
    assert made.json["format"] == "onnx"
    assert made.json["bytes"] == file.stat().st_size
    assert all(found["largest"] <= found["limit"] for found in made.json["differences"])
    eager, exported = (
        cli("predict", chair, "--weights", source, "--json").json[0] for source in (weights, file)
    )
    assert exported["class"] == eager["class"]
    assert exported["probability"] == pytest.approx(eager["probability"], abs=1e-4)


def test_foreign_file(cli: Cli, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx)")
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    imports = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=imports), "foreign.onnx")
    write_off(tmp_path / "chair.off", furniture_mesh("chair", seed=1))
    done = cli("predict", "chair.off", "--weights", "foreign.onnx")
    assert done.code == 1
    assert "foreign.onnx: not exported by this package" in done.err
    assert "mgic-geo export" in done.err
    assert len(done.err.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "model.bin"), "name the file"),
        (("--out", "model.onnx", "--quantize", "int8"), "name some by --data"),
        (("--out", "model.onnx", "--option", "k=3"), "has its own"),
    ],
)
def test_wrong_words(cli: Cli, weights: Path, words: tuple[str, ...], message: str) -> None:
    done = cli("export", weights, *words)
    assert done.code == 1
    assert message in done.err


def test_what_is_exported_already(cli: Cli) -> None:
    done = cli("export", "model.onnx", "--out", "again.onnx")
    assert done.code == 1
    assert "is exported already" in done.err
