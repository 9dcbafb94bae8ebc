"""Epochs of the training loop on as many clouds as ModelNet-10 trains on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from mgic_geo.training import Clouds, Splits, TrainConfig, train

from ._bench import Bench
from ._peers import make_clouds
from ._timing import Timing

SHAPES = 3991
CLASSES = tuple("abcdefghij")


def run(bench: Bench) -> None:
    shapes, points, repeats = (32, 64, 1) if bench.quick else (SHAPES, 1024, 2)
    fields = {
        "family": "epoch",
        "case": f"{shapes} clouds x {points} points",
        "peer": "mgic_diffgcn",
        "width": 64,
        "nodes": points,
        "group_size": 8,
        "coarsest": 16,
        "note": "batches of 16; augmentation drops a tenth of the points on average",
    }
    with bench.guarded(**fields):
        train_epoch(32, points)  # warm-up
        timing = Timing(tuple(train_epoch(shapes, points) for _ in range(repeats)))
        q1, q3 = timing.quartiles
        bench.record(**fields, seconds=timing.median, q1=q1, q3=q3, repeats=repeats)


def train_epoch(shapes: int, points: int) -> float:
    """Seconds of one epoch of ``mgic-geo train`` with its defaults, all but the data."""
    clouds = Clouds(make_clouds(shapes, points), torch.arange(shapes) % len(CLASSES))
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            data=str(Path(folder) / "boxes.npz"),
            num_points=points,
            epochs=1,
            out=str(Path(folder) / "run"),
        )
        result = train(config, Splits(clouds, None, None, CLASSES))
    seconds: float = result.summary["epoch_seconds"]
    return seconds
