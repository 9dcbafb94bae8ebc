"""The examples classify a mesh with an exported network, each in its own language."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import mgic_geo
from mgic_geo.datasets import sample_points
from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.export import load_exported
from mgic_geo.io import write_off
from mgic_geo.models import WeightsInfo, create_model
from mgic_geo.testing import settle_norms
from mgic_geo.transforms import normalize_sphere

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSES = ("bed", "chair", "sofa", "table")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.onnx``, ``chair.off``, and its points as ``chair.xyz`` and ``points.json``."""
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime is not installed (extra onnx)")
    path = tmp_path_factory.mktemp("example")
    torch.manual_seed(0)
    model = create_model("mgic_diffgcn", num_classes=4, width=16, k=6)
    settle_norms(model, torch.rand(4, 128, 3) - 0.5)
    info = WeightsInfo("mgic_diffgcn", {}, CLASSES, 128, temperature=0.6)
    mgic_geo.export(model, path / "model.onnx", info=info)
    mesh = furniture_mesh("chair", seed=1)
    write_off(path / "chair.off", mesh)
    points = sample_points(mesh, 128, seed=0)
    np.savetxt(path / "chair.xyz", points)
    (path / "points.json").write_text(json.dumps(points.tolist()))
    return path


@pytest.fixture(scope="module")
def expected(folder: Path) -> tuple[str, float]:
    """The class of the points, and its probability in percent."""
    points = torch.from_numpy(np.loadtxt(folder / "chair.xyz")).float()[None]
    logits = load_exported(folder / "model.onnx")(normalize_sphere(points).numpy())
    share = (torch.from_numpy(logits[0]) / 0.6).softmax(dim=0)
    return CLASSES[int(share.argmax())], 100.0 * float(share.max())


def check(text: str, expected: tuple[str, float]) -> None:
    found = re.search(r"(\w+) ([\d.]+) %", text)
    assert found is not None, text
    assert found[1] == expected[0]
    assert float(found[2]) == pytest.approx(expected[1], abs=0.02)


def test_python_without_torch(folder: Path) -> None:
    """Other points of the mesh than ours: what is checked is that it says something of sense."""
    script = EXAMPLES / "python" / "classify.py"
    code = (
        "import runpy, sys; sys.modules['torch'] = None; "
        f"sys.argv[1:] = ['model.onnx', 'chair.off']; runpy.run_path({str(script)!r})"
    )
    run = [sys.executable, "-W", "error", "-c", code]
    lines = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^(\w+) ([\d.]+) %$", lines, re.MULTILINE)
    assert len(found) == 3
    assert {name for name, _ in found} < set(CLASSES)
    assert sum(float(share) for _, share in found) <= 100.01


def test_cpp(folder: Path, expected: tuple[str, float], tmp_path: Path) -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino, whose package has the C++ headers, is not installed")
    if missing := [tool for tool in ("cmake", "c++", "make") if shutil.which(tool) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    import openvino

    config = Path(openvino.__file__).parent / "cmake"
    configure = ["cmake", "-S", EXAMPLES / "cpp", "-B", tmp_path, f"-DOpenVINO_DIR={config}"]
    for command in (configure, ["cmake", "--build", tmp_path]):
        subprocess.run(command, capture_output=True, check=True)
    run = [tmp_path / "classify", "model.onnx", "chair.xyz"]
    done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=True)
    check(done.stdout, expected)


def test_javascript(folder: Path, expected: tuple[str, float], tmp_path: Path) -> None:
    modules = EXAMPLES / "javascript" / "node_modules"
    if not (modules / "onnxruntime-web").is_dir():
        pytest.skip("onnxruntime-web is not there: npm install in examples/javascript")
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium")
    shutil.copy(EXAMPLES / "javascript" / "classify.html", tmp_path)
    (tmp_path / "node_modules").symlink_to(modules)
    for name in ("model.onnx", "model.onnx.json", "points.json"):
        shutil.copy(folder / name, tmp_path)
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = f"http://127.0.0.1:{server.server_port}/classify.html"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=100000"]
        run = [browser, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page]
        done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=240)
        server.shutdown()
    found = re.search(r'<pre id="result">(.*)</pre>', done.stdout)
    assert found is not None, done.stdout
    check(found[1], expected)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""
