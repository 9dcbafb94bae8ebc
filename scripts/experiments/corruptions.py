"""Beyond the paper: clouds as scanners deliver them, by the usual recipe and by the robust one.

python -m scripts.experiments.corruptions --source modelnet10=FILE.npz

Takes up every run that has not ended. Started twice, the two processes share the runs.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from mgic_geo.models import load_model
from mgic_geo.training import (
    Clouds,
    CorruptionScores,
    TrainConfig,
    evaluate_corruptions,
    make_splits,
)
from mgic_geo.transforms.corruptions import CORRUPTIONS, MODELNET_C

from ._experiment import Context, Experiment
from ._program import program
from ._rows import read_rows
from ._training import claimed, load_recipe, run_folder, run_to_end


class Line(NamedTuple):
    """A network and its recipe; ``epochs`` None for those of all rows that are compared."""

    name: str
    model: str
    recipe: str
    epochs: int | None = None


REFERENCE = "DGCNN, standard"
ROBUST = "MGIC-pyramid, robust, 120 epochs"
# A second run, from the weights of the first, on clouds that keep more of their proportions: what
# tells a dresser from a night stand.
FINISH: dict[str, Any] = {"epochs": 16, "lr": 1.5e-3, "warmup": 0.1}
FINISH_AUGMENT = {
    "scale": 0.15, "deform": 0.05, "rigid_mix": 0.05, "tilt_degrees": 8.0, "view": 0.2,
    "spoilt": 0.1, "shift": 0.05,
}  # fmt: skip
LINES: Sequence[Line] = (
    Line(ROBUST, "mgic_pyramid", "robust", 120),
    Line("MGIC-pyramid, robust, 120 and 16 milder epochs", "mgic_pyramid", "finish"),
    Line(REFERENCE, "dgcnn", "standard"),
    Line("MGIC-pyramid, standard", "mgic_pyramid", "pyramid"),
    Line("DGCNN, robust", "dgcnn", "robust"),
    Line("MGIC-pyramid, robust", "mgic_pyramid", "robust"),
    Line("MGIC-diffGCN, standard", "mgic_diffgcn", "standard"),
    Line("MGIC-diffGCN, robust", "mgic_diffgcn", "robust"),
    Line("diffGCN, standard", "diffgcn", "standard"),
    Line("diffGCN, robust", "diffgcn", "robust"),
)
EPOCHS = 10
WORST = ("heading", "view", "add_global", "drop_global", "jitter")  # at severity 5, columns, too


def recipe(context: Context, line: Line) -> TrainConfig:
    """The recipe of a row: the model and the size of its parts are the network's own."""
    names = {"standard": "modelnet10", "pyramid": "modelnet10_pyramid"}
    name = names.get(line.recipe, "modelnet10_robust")
    base = load_recipe(context, name)
    options: dict[str, Any] = {"model": line.model, "source": context.sources.get("modelnet10")}
    if not context.full:
        options["epochs"] = line.epochs or EPOCHS
    if line.recipe == "robust" and line.model != "mgic_pyramid":
        flat = load_recipe(context, "modelnet10").model_options
        options["model_options"] = {**flat, **base.model_options}
    if line.recipe == "finish":
        first = run_folder(context, ROBUST, 0) / "best.safetensors"
        augment = dataclasses.replace(base.augment, **FINISH_AUGMENT)
        options |= {**FINISH, "weights": str(first), "augment": augment}
    if context.quick:
        options |= {"epochs": 1, "steps_per_epoch": 2, "num_points": 128, "batch_size": 8}
    return dataclasses.replace(base, **options)


def run(context: Context) -> None:
    for line in LINES:
        if context.wants(line.name):
            _take(context, line)
    _record_mce(context)


def _take(context: Context, line: Line) -> None:
    """Trains a row unless another process is at it, and measures it."""
    if context.has(line.name, "clean", 0):
        return
    folder = run_folder(context, line.name, 0)
    config = recipe(context, line)
    with claimed(context, line.name, 0) as ours:
        if not ours:
            return
        splits = make_splits(config)
        result = run_to_end(folder, config, splits)
        model, _ = load_model(folder / "best.safetensors")
        judge = splits.val
        assert isinstance(judge, Clouds)
        if context.quick:
            judge = Clouds(judge.pos[:8], judge.label[:8])
        scores = evaluate_corruptions(model, judge)
        worst = {f"{kind} 5": 100.0 * scores.accuracy[kind][4] for kind in WORST}
        context.record(
            line.name,
            {
                "clean": 100.0 * scores.clean,
                "class_accuracy": 100.0 * result["validation"]["mean_class_accuracy"],
                **{kind: 100.0 * scores.overall(kind) for kind in CORRUPTIONS},
                **worst,
            },
            seed=0,
            parameters=result["parameters"],
            note=f"{len(judge)} shapes judge; epoch {result['chosen_epoch']} chosen",
            seconds=result["epoch_seconds"] * result["epochs"],
            **{name: result[name] for name in ("epochs", "command", "commit", "date")},
        )


def _record_mce(context: Context) -> None:
    """Of every row that there is, as soon as there is the one that is the unit."""
    found: dict[str, dict[str, float]] = {}
    for row in read_rows(context.path):
        if row["budget"] == context.budget and row["metric"] in (*MODELNET_C, "clean"):
            found.setdefault(row["row"], {})[row["metric"]] = float(row["ours"]) / 100.0
    scores = {
        name: CorruptionScores(cells["clean"], {kind: [cells[kind]] for kind in MODELNET_C})
        for name, cells in found.items()
        if cells.keys() >= {*MODELNET_C, "clean"}
    }
    if REFERENCE not in scores:
        return
    for name, own in scores.items():
        if not context.has(name, "mce", 0):
            error = own.mean_corruption_error(scores[REFERENCE])
            context.record(name, {"mce": error}, seed=0, note="from the rows of its kinds")


EXPERIMENT = Experiment(
    name="corruptions",
    title="Clouds as scanners deliver them",
    about=f"""
        Beyond the paper. ModelNet-10's validation part (498 shapes of 1,024 points), spoilt by the
        twelve kinds of `mgic_geo.transforms.corruptions`: accuracy in %, of a kind the mean over
        its five severities, and some at the worst alone (any heading; one side seen; 5 % of stray
        points; 256 points; noise of 0.05). The first seven kinds are those of ModelNet-C, and mCE
        is the mean of their errors as shares of those of DGCNN of the standard recipe; ModelNet-C
        itself has 40 classes and a test split, so its figures are not these. Robust:
        `configs/modelnet10_robust.yaml`. Rows without a length of their own are of {EPOCHS} epochs
        and one seed, which is short for all of them.
    """,
    run=run,
    columns={
        "clean": ("as they are", ".1f"),
        "class_accuracy": ("mean of classes", ".1f"),
        "mce": ("mCE", ".3f"),
        **{f"{kind} 5": (f"{kind} at its worst", ".1f") for kind in WORST},
        **{kind: (kind, ".1f") for kind in CORRUPTIONS},
    },
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
