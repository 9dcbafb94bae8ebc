from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "clouds.npz",
        points=rng.normal(size=(32, 48, 3)).astype(np.float32),
        label=np.repeat([0, 1], 16),
        classes=["a", "b"],
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = ["--num_points", "48", "--width", "16", "--k", "4", "--batch_size", "4"]
    options += ["--epochs", "2", "--out", "run"]
    done = subprocess.run(
        [*launch, "-m", "mgic_geo", "train", "--data", "clouds.npz", "--root", ".", *options],
        cwd=tmp_path,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch   2") == 1
    assert done.stdout.count("validation accuracy") == 1
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    # 28 shapes for two processes of four clouds a step: both have seen three batches.
    right = [24 * float(row["train_accuracy"]) for row in rows]
    assert all(abs(count - round(count)) < 1e-3 for count in right)
