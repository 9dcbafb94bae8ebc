"""Beyond the paper: a class for each point, the channel hierarchy against its dense twin.

python -m scripts.experiments.segmentation
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from mgic_geo.profiling import profile_point_model
from mgic_geo.training import TrainConfig, train

from ._experiment import Context, Experiment
from ._program import program
from ._training import load_recipe, run_folder

RECIPE = "furniture10_parts"
MODELS = {"MGIC-diffGCN": "mgic_diffgcn_seg", "diffGCN, dense": "diffgcn_seg"}
METRICS = {"mean_iou": "mean_iou", "shape_iou": "shape_iou", "accuracy": "accuracy"}


def run(context: Context) -> None:
    for seed in context.seeds_of(3):
        for row, model in MODELS.items():
            if context.wants(row) and not context.has(row, "mean_iou", seed):
                _take(context, row, _config(context, model, seed))


def _config(context: Context, model: str, seed: int) -> TrainConfig:
    options: dict[str, Any] = {"model": model, "seed": seed}
    if context.quick:
        options |= {"epochs": 1, "steps_per_epoch": 2, "num_points": 64, "batch_size": 8}
        options |= {"per_class": 1, "width": 16}
    return load_recipe(context, RECIPE, **options)


def _take(context: Context, row: str, config: TrainConfig) -> None:
    """Trains, or takes up what is there, and records how the last epoch does on the test shapes."""
    folder = run_folder(context, row, config.seed)
    done = folder / "result.json"
    if done.exists():
        result = json.loads(done.read_text("utf-8"))
    else:
        resume = (folder / "state.pt").exists()
        result = train(dataclasses.replace(config, out=str(folder), resume=resume)).summary
    found = result["test"]
    options = {**config.model_args(), "num_classes": len(found["classes"])}
    layers = profile_point_model(config.model, config.num_points, **options)
    ious = {f"class {name}": iou for name, iou in found["per_class_iou"].items()}
    figures = {ours: found[theirs] for theirs, ours in METRICS.items()} | ious
    context.record(
        row,
        {name: 100.0 * share for name, share in figures.items() if share is not None},
        parameters=result["parameters"],
        macs=sum(layer.macs for layer in layers),
        epochs=result["epochs"],
        seed=config.seed,
        seconds=result["epoch_seconds"] * result["epochs"],
        note=f"{found['num_shapes']} test shapes; the last epoch",
        **{name: result[name] for name in ("command", "commit", "versions", "device", "date")},
    )


EXPERIMENT = Experiment(
    name="segmentation",
    title="A class for each point: the parts of Furniture-10",
    about="""
        Beyond the paper. The graph layers of Table 10 with a head for each node: 13 parts, 512
        points a shape, 600 training shapes, 16 epochs, three seeds. The last epoch is judged on the
        200 test shapes, which no one tuned on: mean IoU over the parts, over the shapes (of a shape
        over its parts first, as ShapeNet-Part's instance mean), and the share of points.
    """,
    run=run,
    columns={
        "macs": ("MACs", "count"),
        "mean_iou": ("mean IoU, %", ".2f"),
        "shape_iou": ("mean IoU of shapes, %", ".2f"),
        "accuracy": ("points, %", ".2f"),
    },
    pictures=("segmentation.png",),
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
