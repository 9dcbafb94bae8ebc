from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mgic_geo.cli.main import main
from mgic_geo.compress import load_compressed

MODULE = """
import torch
from torch import nn


def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.Linear(64, 4)).eval()


def with_inputs():
    return plain(), torch.randn(16, 8)


def nothing():
    return 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "somebodys.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_entry_point(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32))
    options = ["--inputs", "x.npy", "--target", "0.6", "--out", "slim.safetensors", "--json"]
    code = main(["compress", "somebodys:plain", *options])
    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert found["parameters"][1] <= 0.6 * found["parameters"][0]
    import somebodys  # type: ignore[import-not-found]

    slim = load_compressed(somebodys.plain(), "slim.safetensors")
    assert sum(p.numel() for p in slim.parameters()) == found["parameters"][1]
    assert main(["compress", "somebodys:with_inputs", "--start", "random"]) == 0
    assert "left as they are" in capsys.readouterr().out


def test_wrong_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"x": torch.zeros(1)}, folder / "x.pt")
    for arguments, message in (
        (["somebodys:nowhere"], "cannot be found"),
        (["nobody:plain"], "cannot be found"),
        (["somebodys:nothing", "--shape", "2", "8"], "returned int"),
        (["somebodys:plain"], "give its inputs by --inputs or --shape"),
        (["somebodys:plain", "--inputs", "x.pt"], "holds dict"),
        (["somebodys:plain", "--shape", "2", "9"], "does not take the example inputs"),
        (["somebodys:plain", "--shape", "2", "8", "--target", "0.1"], "smallest possible"),
    ):
        assert main(["compress", *arguments]) == 1
        assert message in capsys.readouterr().err


def test_a_model_of_the_registry(
    tiny_models: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--option", "width=64", "--all_layers", "--where", "fc", "--start", "random"]
    more = ["--shape", "2", "3", "16", "16", "--latency", "--coarsest", "1", "--group_size", "2"]
    assert main(["compress", "tiny_cnn", *options, *more]) == 0
    out = capsys.readouterr().out
    assert "latency, eager, 2 threads" in out
    assert "not chosen by where" in out


def test_inputs_of_a_data_set(
    tiny_models: None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = pytest.importorskip("PIL.Image", reason="images need pillow")
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        image.fromarray(pixels).save(folder / "images" / name)
    options = ["--option", "width=64", "--all_layers", "--where", "fc", "--start", "layers"]
    options += ["--coarsest", "1", "--group_size", "2", "--data", "images", "--json"]
    assert main(["compress", "tiny_cnn", *options, "--samples", "2"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["options"]["inputs"].startswith("[2, 3, ")
    assert "noise" not in said.err
    assert main(["compress", "somebodys:plain", "--data", "images"]) == 1
    assert "give those of somebodys:plain by --inputs" in capsys.readouterr().err
