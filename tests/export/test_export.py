from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mgic_geo
from mgic_geo.errors import CheckpointError, DataError
from mgic_geo.export import ExportError, ExportInfo, api, load_exported
from mgic_geo.export.check import allowed
from mgic_geo.export.runtime import SUFFIXES
from mgic_geo.models import WeightsInfo, create_model
from mgic_geo.testing import randomize_norms

Needs = Callable[[str], None]
# An export and its check take seconds each: two engines in every run, the others with the slow.
ALL = [pytest.param(s, marks=[pytest.mark.slow] if s in (".pte", ".xml") else []) for s in SUFFIXES]
POINTS = WeightsInfo("mgic_diffgcn", {"k": 6}, ("a", "b", "c"), 64)
IMAGES = WeightsInfo("mgic_resnet56", {}, ("a", "b"), task="images", image_size=32)


def _points(**options: int) -> nn.Module:
    return randomize_norms(create_model("mgic_diffgcn", num_classes=3, k=6, width=32, **options))


@pytest.mark.parametrize("suffix", ALL)
def test_point_network_with_its_neighbours(
    suffix: str, tmp_path: Path, pos: Tensor, needs: Needs
) -> None:
    needs(SUFFIXES[suffix])
    path = tmp_path / f"model{suffix}"
    model = _points(part_size=32).eval()
    report = mgic_geo.export(model, path, info=POINTS)
    assert report.size == sum(
        f.stat().st_size for f in tmp_path.iterdir() if f.suffix in (suffix, ".bin")
    )
    assert max(d.largest for d in report.differences) < 1e-5
    exported = load_exported(path, threads=1)
    assert exported.info == report.info
    assert exported.info.classes == ("a", "b", "c")
    assert exported.info.min_points == 7
    with torch.no_grad():
        expected = model(pos).numpy()
    np.testing.assert_allclose(exported(pos.numpy()), expected, atol=1e-5)
    with pytest.raises(DataError, match="takes"):
        exported(pos.numpy()[..., :2])
    if suffix != ".pte":  # any number of points
        with torch.no_grad():
            expected = model(pos[:1, :30]).numpy()
        np.testing.assert_allclose(exported(pos.numpy()[:1, :30]), expected, atol=1e-5)
        with pytest.raises(DataError, match=r"has 6 points; its network needs 7"):
            exported(pos.numpy()[:, :6])
        if suffix != ".xml":  # OpenVINO's own files take what they get: ours alone says no
            with pytest.raises(Exception, match=r"(?i)range|expected|greater than"):
                exported._run(np.ascontiguousarray(pos.numpy()[:, :6]))
    beside = json.loads((tmp_path / f"model{suffix}.json").read_text())
    assert beside["classes"] == ["a", "b", "c"]
    assert beside["preprocessing"][1] == "subtract their mean"
    assert {f.name for f in tmp_path.iterdir()} <= {
        f"model{suffix}", f"model{suffix}.json", "model.bin"
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ALL)
def test_image_network(suffix: str, tmp_path: Path, needs: Needs) -> None:
    needs(SUFFIXES[suffix])
    model = create_model("mgic_resnet56", num_classes=2, width=8, coarsest=8).eval()
    report = mgic_geo.export(model, tmp_path / f"model{suffix}", info=IMAGES)
    assert report.outside == []  # XNNPACK runs everything
    exported = load_exported(report.path)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        np.testing.assert_allclose(exported(x.numpy()), model(x).numpy(), rtol=1e-5)
    with pytest.raises(DataError, match="takes"):
        exported(np.zeros((1, 3, 32, 48), np.float32))


def test_a_file_that_differs_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower = api.lower

    def wrong(model: nn.Module, engine: str) -> nn.Module:
        lowered = lower(model, engine)
        with torch.no_grad():
            lowered.model.fc.bias += 1e-2
        return lowered

    monkeypatch.setattr(api, "lower", wrong)
    path = tmp_path / "model.pt2"
    path.write_bytes(b"older")
    with pytest.raises(ExportError, match="not kept, it differs from eager: random inputs"):
        mgic_geo.export(_points(), path, info=POINTS)
    assert [f.name for f in tmp_path.iterdir()] == ["model.pt2"]
    assert path.read_bytes() == b"older"


@pytest.mark.parametrize(
    "suffix", [pytest.param(s, marks=[pytest.mark.slow] * (s != ".pt2")) for s in SUFFIXES]
)
def test_a_disk_that_is_really_full(suffix: str, tmp_path: Path, needs: Needs) -> None:
    needs(SUFFIXES[suffix])
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here: no small one to fill")
    try:
        (disk / "older").write_bytes(b"kept")
        with pytest.raises(DataError, match="the disk is full; nothing was kept"):
            mgic_geo.export(_points(), disk / f"model{suffix}", info=POINTS)
        assert [f.name for f in disk.iterdir()] == ["older"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_limit_is_absolute_for_logits_of_trained_networks() -> None:
    assert allowed(1e-4, 0.1) == allowed(1e-4, 25.0) == 1e-4
    assert allowed(1e-4, 100.0) == pytest.approx(4e-4)


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(api, "_write", full)
    with pytest.raises(DataError, match="the disk is full"):
        mgic_geo.export(_points(), tmp_path / "model.pt2", info=POINTS)
    assert not list(tmp_path.iterdir())


class Sorted(nn.Module):
    """Whose Python follows the values, so that no graph holds it."""

    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 0.0 else -x


@torch.library.custom_op("mgic_geo_tests::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    return x * 2.0


@twice.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Twice(nn.Module):
    """A layer that only Python knows."""

    def forward(self, x: Tensor) -> Tensor:
        return twice(x)


@pytest.mark.parametrize(
    ("layer", "words"),
    [(Sorted, "cannot be traced.*Sorted are not known here"), (Twice, r"twice.* in 2 \(Twice\)")],
)
def test_unknown_layer(layer: type[nn.Module], words: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), layer(), nn.Flatten())
    with pytest.raises(ExportError, match=words):
        mgic_geo.export(model, tmp_path / "model.pt2", info=IMAGES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("m.onnx", "onnx", "onnx"),
        ("m.xml", "openvino", "openvino"),
        ("m.pte", "executorch.exir", "executorch"),
    ],
)
def test_format_that_is_not_installed(
    name: str, module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=rf"mgic_geo\[{extra}\]"):
        mgic_geo.export(_points(), tmp_path / name, info=POINTS)
    assert not list(tmp_path.iterdir())


def test_wrong_words(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"name the file \*\.pt2, \*\.onnx"):
        mgic_geo.export(_points(), tmp_path / "model.bin")
    with pytest.raises(ExportError, match=r"name the file \*\.onnx"):
        mgic_geo.export(_points(), tmp_path / "model.pt2", "onnx")
    with pytest.raises(ExportError, match="use one of torch, onnx"):
        mgic_geo.export(_points(), tmp_path / "model.pt2", "tflite")
    with pytest.raises(ExportError, match="int8 is for onnx"):
        mgic_geo.export(_points(), tmp_path / "model.pt2", quantized="int8")
    with pytest.raises(ExportError, match="calibrated on samples"):
        mgic_geo.export(_points(), tmp_path / "model.onnx", quantized="int8")


@pytest.mark.parametrize("suffix", list(SUFFIXES))
def test_damaged_files(suffix: str, tmp_path: Path, needs: Needs) -> None:
    needs(SUFFIXES[suffix])
    path = tmp_path / f"model{suffix}"
    with pytest.raises(CheckpointError, match="no such file"):
        load_exported(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="not readable as"):
        load_exported(path)


def test_foreign_onnx(tmp_path: Path, needs: Needs) -> None:
    needs("onnx")
    import onnx
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    onnx.save(
        helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)]),
        tmp_path / "foreign.onnx",
    )
    with pytest.raises(CheckpointError, match="not exported by this package"):
        load_exported(tmp_path / "foreign.onnx")


@pytest.mark.parametrize("text", ["{}", "[]", "no JSON", '{"format": "mgic_geo-export-9"}'])
def test_damaged_description(text: str) -> None:
    with pytest.raises(CheckpointError, match="description is damaged"):
        ExportInfo.from_json(text, "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pte", ".xml"])
def test_int8(suffix: str, tmp_path: Path, pos: Tensor, needs: Needs) -> None:
    needs(SUFFIXES[suffix])
    torch.manual_seed(0)
    model = create_model("mgic_diffgcn", num_classes=3, k=6, width=32).eval()
    path = tmp_path / f"model{suffix}"
    samples = pos.repeat(4, 1, 1)
    labels = torch.zeros(12, dtype=torch.long)
    report = mgic_geo.export(
        model, path, info=POINTS, samples=samples, quantized="int8",
        validation=(samples, labels), limit=100.0,
    )  # fmt: skip
    assert report.quantized is not None
    assert load_exported(path).info.quantized == "int8"
    assert report.differences[0].largest > 0.0
    assert report.quantized.inputs == 12
    assert len(list(tmp_path.iterdir())) == (3 if suffix == ".xml" else 2)


def test_int8_that_costs_too_much_is_refused(
    tmp_path: Path, pos: Tensor, monkeypatch: pytest.MonkeyPatch, needs: Needs
) -> None:
    needs("onnx")
    cost = api.Quantized((0.9, 0.88), (1.0, 0.5), (10, 3), 100)
    monkeypatch.setattr(api, "_cost", lambda *_: cost)
    path = tmp_path / "model.onnx"
    call = {"info": POINTS, "samples": pos, "quantized": "int8"}
    with pytest.raises(ExportError, match=r"int8 costs 2\.00 points of accuracy, more than 0\.5"):
        mgic_geo.export(_points(), path, **call)
    assert not list(tmp_path.iterdir())
    mgic_geo.export(_points(), path, force=True, **call)
    assert path.is_file()
