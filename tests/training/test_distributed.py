from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from mgic_geo.testing import write_tiny_image_tree
from mgic_geo.training import TrainConfig


def train_in_two_processes(folder: Path, *words: str) -> str:
    # what `accelerate launch` starts itself for several GPUs; for CPUs it would ask for MPI
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, "-m", "mgic_geo", "train", *words],
        cwd=folder,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_recipe_of_imagenet_in_two_processes(tmp_path: Path, repository: Path) -> None:
    write_tiny_image_tree(tmp_path / "images", images=8, size=(40, 48), splits=("train", "val"))
    words = ["--source", "images", "--model", "mgic_resnet50", "--model_options.group_size", "16"]
    words += ["--model_options.width", "16", "--image.image_size", "32", "--workers", "1"]
    words += ["--batch_size", "3", "--epochs", "2", "--out", "run"]
    out = train_in_two_processes(tmp_path, str(repository / "configs/imagenet.yaml"), *words)
    assert out.count("epoch   2") == 1
    assert out.count("(24 images, epoch") == 1
    assert TrainConfig.load(tmp_path / "run/config.yaml").schedule == "step"
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # 24 images, six a step: each process has seen twelve of them
    right = [24 * float(row["train_accuracy"]) for row in rows]
    assert all(abs(count - round(count)) < 1e-3 for count in right)


def test_two_processes_train_one_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "clouds.npz",
        points=rng.normal(size=(32, 48, 3)).astype(np.float32),
        label=np.repeat([0, 1], 16),
        classes=["a", "b"],
    )
    options = ["--num_points", "48", "--width", "16", "--k", "4", "--batch_size", "4"]
    options += ["--epochs", "2", "--out", "run"]
    out = train_in_two_processes(tmp_path, "--data", "clouds.npz", "--root", ".", *options)
    assert out.count("epoch   2") == 1
    assert out.count("validation accuracy") == 1
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    # 28 shapes for two processes of four clouds a step: both have seen three batches.
    right = [24 * float(row["train_accuracy"]) for row in rows]
    assert all(abs(count - round(count)) < 1e-3 for count in right)
