"""Pyramids of points against the flat network of Table 10, by shapes without near copies.

python -m scripts.experiments.pyramids --source modelnet10=FILE.npz

Takes up every run that has not ended, epoch by epoch. Started twice, the two processes share the
runs between them.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from mgic_geo.datasets import MODELNET10_CLASSES
from mgic_geo.models import create_model
from mgic_geo.training import TrainConfig

from ._experiment import Context, Experiment
from ._modelnet import COLUMNS, METRICS, time_steps
from ._program import program
from ._training import claimed, load_recipe, run_folder, run_to_end, train_row


class Line(NamedTuple):
    """A network, what its recipe has otherwise, and which folds judge it."""

    name: str
    model: str
    changes: Mapping[str, Any] = {}
    folds: Sequence[int] = (0,)


LINES: Sequence[Line] = (
    Line("MGIC-pyramid", "mgic_pyramid"),
    Line("MGIC-diffGCN, flat", "mgic_diffgcn"),
    Line("Pyramid, dense, width 32", "pyramid", {"width": 32}),
    Line("Pyramid, dense", "pyramid"),
    Line(
        "MGIC-pyramid, half to all points, judged whole",
        "mgic_pyramid",
        {"augment": {"drop": 0.5, "drop_min": 0.0}, "model_options": {"part_size": None}},
    ),
    Line("MGIC-pyramid, mixed clouds", "mgic_pyramid", {"augment": {"cut_mix": 0.5}}),
    Line("MGIC-pyramid, sides not scaled", "mgic_pyramid", {"augment": {"scale": 0.0}}),
    Line(
        "MGIC-pyramid, no norm on the correction",
        "mgic_pyramid",
        {"model_options": {"norm": "none"}},
    ),
)
EPOCHS = 8
ALL_SHAPES = "all shapes"
LONGER = "all shapes, twice the epochs"
STEPS = "steps"
TIMED = ("MGIC-pyramid", "MGIC-diffGCN, flat", "Pyramid, dense, width 32", "Pyramid, dense")


def recipe(context: Context, line: Line, fold: int | None) -> TrainConfig:
    """The recipe of the network's kind, ``configs/*.yaml``, with the changes of its row."""
    name = "modelnet10" if line.model.endswith("diffgcn") else "modelnet10_pyramid"
    base = load_recipe(context, name)
    options: dict[str, Any] = {
        "model": line.model,
        "source": context.sources.get("modelnet10"),
        "fold": fold,
        "epochs": base.epochs if context.full else EPOCHS,
        **line.changes,
    }
    if fold is None:  # all shapes, for good
        options |= {"val_fraction": 0.0, "epochs": base.epochs}
    options["model_options"] = base.model_options | options.get("model_options", {})
    options["augment"] = dataclasses.replace(base.augment, **options.get("augment", {}))
    if context.quick:
        options |= {"epochs": 1, "steps_per_epoch": 2, "num_points": 128, "batch_size": 8}
    return dataclasses.replace(base, **options)


def run(context: Context) -> None:
    if context.wants(ALL_SHAPES):
        _train_on_all(context, ALL_SHAPES)
    _take_all(context, LINES[:2])
    if context.wants(LONGER):
        _train_on_all(context, LONGER)
    _take_all(context, LINES[2:])
    if context.wants(STEPS):
        clouds, points = (2, 64) if context.quick else (16, 1024)
        pos = torch.rand(clouds, points, 3, generator=torch.Generator().manual_seed(0)) - 0.5
        configs = {line.name: recipe(context, line, 0) for line in LINES if line.name in TIMED}
        time_steps(context, {name: _build(config) for name, config in configs.items()}, pos)


def _take_all(context: Context, lines: Sequence[Line]) -> None:
    for line in lines:
        for fold in line.folds if context.wants(line.name) else ():
            _take(context, line, fold)


def _build(config: TrainConfig) -> nn.Module:
    return create_model(config.model, num_classes=10, **config.model_args())


def _train_on_all(context: Context, name: str) -> None:
    """Weights to ship: the first line on all shapes, which leaves nothing to record."""
    folder = run_folder(context, name, 0)
    with claimed(context, name, 0) as ours:
        if ours:
            config = recipe(context, LINES[0], None)
            if name == LONGER and not context.quick:
                config = dataclasses.replace(config, epochs=2 * config.epochs)
            run_to_end(folder, config)


def _take(context: Context, line: Line, fold: int) -> None:
    """Trains a row unless another process is at it, and records each class."""
    row = f"{line.name}, fold {fold}"
    folder = run_folder(context, row, 0)
    with claimed(context, row, 0) as ours:
        if not ours:
            return
        train_row(context, row, recipe(context, line, fold), 0, METRICS)
        if (folder / "result.json").exists():
            result = json.loads((folder / "result.json").read_text("utf-8"))
            shares = result["validation"]["per_class_accuracy"]
            facts = {name: result[name] for name in ("epochs", "command", "commit", "date")}
            found = {f"class {name}": 100.0 * share for name, share in shares.items()}
            context.record(row, found, seed=0, **facts)


EXPERIMENT = Experiment(
    name="pyramids",
    title="Pyramids of points, by shapes without near copies",
    about="""
        Beyond the paper. ModelNet-10, 8 epochs, one seed, the best epoch. The judge is the novel
        half of a fifth of the training shapes, by name (`--fold 0`): the 400 shapes that are
        farthest from all that were trained on, so that one shape is 0.25 points and the standard
        error of a row about one. Each class in percent. The dense pyramid of width 32 has about the
        parameters of MGIC's.
    """,
    run=run,
    columns={**COLUMNS, **{f"class {name}": (name, ".1f") for name in MODELNET10_CLASSES}},
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
