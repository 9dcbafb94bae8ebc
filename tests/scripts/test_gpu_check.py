from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")

# A kernel that is right but for a factor: its error is a hundred roundings.
WRONG = """
import sys
from mgic_geo.kernels.{operator} import gpu
right = gpu.{kernel}
gpu.{kernel} = lambda *args: right(*args) * 1.0001
from scripts.gpu_check import parity
sys.exit(parity.main(quick=True))
"""


@needs_triton
@no_gpu
def test_without_a_gpu_it_says_so_and_interprets(repository: Path) -> None:
    before = sorted((repository / "results").iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "scripts.gpu_check", "--quick"],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no GPU here" in done.stdout
    assert ", 0 wrong" in done.stdout
    assert sorted((repository / "results").iterdir()) == before


@needs_triton
@pytest.mark.parametrize(
    ("operator", "kernel"),
    [
        ("pointwise", "grouped_pointwise_forward"),
        ("diff_conv", "diff_conv_grad_mix"),
        ("neighbor_max", "neighbor_max_backward"),
    ],
)
def test_a_wrong_kernel_is_found(operator: str, kernel: str, repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRONG.format(operator=operator, kernel=kernel)],
        cwd=repository,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert ", 0 wrong" not in done.stdout


def test_every_family_has_a_share_of_the_time() -> None:
    check = importlib.import_module("scripts.gpu_check.__main__")
    assert set(check.SHARES) == set(check.FAMILIES)
    assert sum(check.SHARES.values()) <= 480
    assert set(check.JUDGED) <= set(check.FAMILIES)
