"""CIFAR-10 by one schedule for all: MGIC-ResNets, dense ones of equal size, and Ghost modules.

python -m scripts.experiments.cifar10 --source cifar10=FILE.zip

Takes up every run that has not ended, epoch by epoch. Started twice, the two processes share the
runs between them; with ``OMP_NUM_THREADS=1`` that is the faster use of two cores.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mgic_geo.training import TrainConfig
from mgic_geo.training.image_config import ImageConfig

from ._cifar import COLUMNS, METRICS
from ._experiment import Context, Experiment
from ._program import program
from ._training import claimed, load_recipe, train_row


class Line(NamedTuple):
    """A network, its options, and how many seeds it is given."""

    name: str
    model: str
    options: Mapping[str, Any] = {}
    seeds: int = 1


# The form of the block that trials of 500 steps (image_trials) spoke for: one convolution a grid,
# no norm on the correction, and stages that widen by 4 at constant work.
WIDE = {"norm": "none", "convs": 1, "widening": 4}
LINES: Sequence[Line] = (
    Line("MGIC-ResNet-44 (8, 16), one 3x3 a grid, 16-64-256", "mgic_resnet44", WIDE, seeds=2),
    Line("Ghost-ResNet-56", "ghost_resnet56", seeds=2),
    Line("ResNet-56", "resnet56"),
    Line("ResNet-20", "resnet20"),
    Line("ResNet-56, width 10", "resnet56", {"width": 10}),
    Line("ResNet-56, width 12", "resnet56", {"width": 12}),
    Line("MGIC-ResNet-56 (8, 16)", "mgic_resnet56", {"norm": "none"}),
)
SCHEDULE: Mapping[str, Any] = {
    "epochs": 30,
    "optimizer": "sgd",
    "schedule": "onecycle",
    "lr": 0.2,
    "label_smoothing": 0.1,
    "ema": 0.998,
}
ERASED = 0.25  # share of the images: small networks are not held back by much in so few epochs


def recipe(context: Context, line: Line) -> TrainConfig:
    """``configs/cifar10.yaml`` with the schedule of these rows; ``--full`` keeps its 200 epochs."""
    config = load_recipe(context, "cifar10", model=line.model, model_options=dict(line.options))
    changes = dict(SCHEDULE)
    if context.full:
        changes["epochs"] = config.epochs
    if context.quick:
        changes |= {"epochs": 1, "steps_per_epoch": 2, "batch_size": 8}
    return dataclasses.replace(config, image=ImageConfig(erase=ERASED), **changes)


def run(context: Context) -> None:
    """The first seed of each line, then the second."""
    for seed in context.seeds_of(max(line.seeds for line in LINES)):
        for line in LINES:
            if context.wants(line.name) and (context.seeds is not None or seed < line.seeds):
                _take(context, line, seed)


def _take(context: Context, line: Line, seed: int) -> None:
    """Trains a row unless another process is at it."""
    with claimed(context, line.name, seed) as ours:
        if ours:
            train_row(context, line.name, recipe(context, line), seed, METRICS)


EXPERIMENT = Experiment(
    name="cifar10",
    title="CIFAR-10 by one schedule for all",
    about="""
        Beyond the paper. 30 epochs on 45,000 of the training images, the same for all: SGD in one
        cycle up to 0.2, crops, mirror images, a quarter of the images with an erased rectangle,
        label smoothing 0.1, averaged weights; top-1 of the best epoch on the other 5,000. *Width*
        is that of the first stage: ResNet-56 of width 10 has the parameters of MGIC-ResNet-56
        (8, 16), of width 12 its multiply-accumulates.
    """,
    run=run,
    columns=COLUMNS,
    paper="network",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
