"""Predictions are torch's until their loops have been compiled beside them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import mgic_geo
from mgic_geo import _first_calls
from mgic_geo._first_calls import run_at_once
from mgic_geo.kernels import dispatch, kernel_backend, without_compiler
from mgic_geo.models import load_model

needs_compiled = pytest.mark.skipif(not dispatch.COMPILED, reason="no compiled kernels here")


@needs_compiled
def test_no_call_waits_and_later_ones_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_first_calls, "WORTH", 3)
    model, seen = nn.Identity(), []
    go_on, compiled = threading.Event(), threading.Event()

    def call() -> Tensor:
        backend = kernel_backend()
        if threading.current_thread().name == "mgic_geo compiler":
            go_on.wait(30)
            compiled.set()
        else:
            seen.append(backend)
        return torch.zeros(1)

    for _ in range(5):
        run_at_once(model, call)
    assert seen == ["torch"] * 5  # the compiler is still at it
    go_on.set()
    assert compiled.wait(30)
    [t.join(30) for t in threading.enumerate() if t.name == "mgic_geo compiler"]
    run_at_once(model, call)
    assert seen == ["torch"] * 5 + ["numba"]


def test_models_are_let_go() -> None:
    model = nn.Identity()
    run_at_once(model, lambda: torch.zeros(1))
    before = len(_first_calls._calls)
    del model
    gc.collect()
    assert len(_first_calls._calls) == before - 1


@needs_compiled
def test_other_threads_go_on_as_they_were() -> None:
    seen = []
    with without_compiler():
        thread = threading.Thread(target=lambda: seen.append(kernel_backend()))
        thread.start()
        thread.join()
        assert kernel_backend() == "torch"
    assert seen == ["numba"]
    assert kernel_backend() == "numba"


def test_predictions_agree_with_and_without() -> None:
    weights = load_model("modelnet10-mgic-diffgcn")
    pos = torch.rand(300, 3, generator=torch.Generator().manual_seed(0))
    one, other = (mgic_geo.predict(pos, weights, compiled=which) for which in (True, False))
    torch.testing.assert_close(one.logits, other.logits, rtol=1e-4, atol=1e-4)


def test_one_prediction_compiles_nothing(tmp_path: Path) -> None:
    """On a machine that has never run it, and without the second that torch._dynamo takes."""
    code = (
        "import sys; from mgic_geo.cli import main; code = main(sys.argv[1:]);"
        "assert 'torch._dynamo' not in sys.modules; sys.exit(code)"
    )
    points = tmp_path / "points.xyz"
    points.write_text("\n".join(f"{i % 7} {i % 11} {i % 13}" for i in range(200)))
    cache = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-c", code, "predict", str(points)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not list(cache.rglob("*.nb[ci]"))
