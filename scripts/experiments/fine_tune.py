"""Beyond the paper: ten shapes a class, from scratch and from weights of another data set.

python -m scripts.experiments.fine_tune --source modelnet10=FILE.npz
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

from mgic_geo.models import DEFAULT_WEIGHTS
from mgic_geo.training import Clouds, TrainConfig, evaluate_clouds, train
from mgic_geo.training.data import make_splits

from ._experiment import Context, Experiment
from ._modelnet import COLUMNS, recipe
from ._program import program
from ._training import run_folder

MODEL = "mgic_diffgcn"
FIRST = "Furniture-10, all its shapes"
SHAPES, EPOCHS = 10, 40
# How a run starts, and what it changes.
WAYS: Mapping[str, Mapping[str, Any]] = {
    "from scratch": {},
    "from {}": {"body_lr": 1.0},
    "from {}, the body at a tenth of the rate": {"body_lr": 0.1},
    "from {}, the last layer alone": {"freeze": True},
}
DATA = {"furniture10": "Furniture-10", "modelnet10": "ModelNet-10"}


def run(context: Context) -> None:
    """The weights of Furniture-10 first; those of ModelNet-10 travel with the package."""
    judges = {data: _judge(context, data) for data in DATA}
    first = run_folder(context, FIRST, 0)
    if not (first / "result.json").exists():
        config = _config(context, "furniture10", 0, model=MODEL, val_fraction=0.0)
        _record(context, FIRST, config, 0, judges["furniture10"])
    for seed in context.seeds_of(3):
        for way, changes in WAYS.items():
            for data, weights, origin in (
                ("modelnet10", str(first / "best.safetensors"), DATA["furniture10"]),
                ("furniture10", DEFAULT_WEIGHTS, DATA["modelnet10"]),
            ):
                row = f"{DATA[data]}, {SHAPES} a class, {way.format(origin)}"
                if not context.wants(row) or context.has(row, "accuracy", seed):
                    continue
                start = {"weights": weights, **changes} if changes else {"model": MODEL}
                few = {"per_class": SHAPES, "val_fraction": 0.0, "epochs": EPOCHS}
                config = _config(context, data, seed, **few, **start)
                _record(context, row, config, seed, judges[data])


def _config(context: Context, data: str, seed: int, **options: Any) -> TrainConfig:
    if data != "modelnet10":
        options |= {"data": data, "source": None}
    if context.quick:
        options["epochs"] = 1
    return recipe(context, seed=seed, **options)


def _judge(context: Context, data: str) -> Clouds:
    """What a run is judged by, after its last epoch: nothing of it chooses anything."""
    splits = make_splits(_config(context, data, 0, model=MODEL))
    judge = splits.val if splits.test is None else splits.test
    assert isinstance(judge, Clouds)
    return judge


def _record(context: Context, row: str, config: TrainConfig, seed: int, judge: Clouds) -> None:
    folder = run_folder(context, row, seed)
    resume = (folder / "state.pt").exists()
    result = train(dataclasses.replace(config, out=str(folder), resume=resume))
    matrix, _ = evaluate_clouds(result.model, judge, len(result.classes))
    found = matrix.summary(result.classes)
    context.record(
        row,
        {
            "class_accuracy": 100.0 * found["mean_class_accuracy"],
            "accuracy": 100.0 * found["accuracy"],
        },
        parameters=result.summary["parameters"],
        epochs=result.summary["epochs"],
        seed=seed,
        note=f"{len(judge)} shapes judge; the last epoch",
    )


EXPERIMENT = Experiment(
    name="fine_tune",
    title="Fine-tuning on ten shapes a class",
    about="""
        Beyond the paper. MGIC-diffGCN of Table 11's recipe on the first ten shapes of each class,
        for 40 epochs of 6 steps, from scratch and from weights that were trained on the other data
        set. The two share the names of their ten classes, so the last layer is taken, too, but no
        data: Furniture-10 is made by a program. The last epoch is judged, on the 498 shapes of
        ModelNet-10's validation part and the 200 of Furniture-10's test split. Three seeds.
    """,
    run=run,
    columns=COLUMNS,
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
