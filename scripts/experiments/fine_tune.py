"""Beyond the paper: ten shapes a class, from scratch and from weights of another data set.

python -m scripts.experiments.fine_tune --source modelnet10=FILE.npz
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mgic_geo.models import DEFAULT_WEIGHTS

from ._experiment import Context, Experiment
from ._modelnet import COLUMNS, METRICS, recipe
from ._program import program
from ._training import run_folder, train_row

MODEL = "mgic_diffgcn"
FIRST = "Furniture-10, all its shapes"
SHAPES, EPOCHS = 10, 30
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
    options = _options(context, "furniture10") | {"model": MODEL}
    if context.wants(FIRST):
        train_row(context, FIRST, recipe(context, **options), 0, METRICS)
    first = run_folder(context, FIRST, 0) / "best.safetensors"
    for seed in context.seeds_of(3):
        for way, changes in WAYS.items():
            for data, weights, origin in (
                ("modelnet10", str(first), DATA["furniture10"]),
                ("furniture10", DEFAULT_WEIGHTS, DATA["modelnet10"]),
            ):
                row = f"{DATA[data]}, {SHAPES} a class, {way.format(origin)}"
                if context.wants(row):
                    options = _options(context, data) | {"per_class": SHAPES, "epochs": EPOCHS}
                    options |= {"weights": weights, **changes} if changes else {"model": MODEL}
                    options |= {"epochs": 1} if context.quick else {}
                    train_row(context, row, recipe(context, **options), seed, METRICS)


def _options(context: Context, data: str) -> dict[str, Any]:
    if data == "modelnet10":
        return {}
    return {"data": data, "source": None}


EXPERIMENT = Experiment(
    name="fine_tune",
    title="Fine-tuning on ten shapes a class",
    about="""
        Beyond the paper. MGIC-diffGCN of Table 11's recipe on the first ten shapes of each class
        for 30 epochs, from scratch and from weights that were trained on the other data set. The
        two share the names of their ten classes, so the last layer is taken, too, but no data:
        Furniture-10 is made by a program. The best epoch on the validation part (498 and 75
        shapes), all ways alike, three seeds.
    """,
    run=run,
    columns=COLUMNS,
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
