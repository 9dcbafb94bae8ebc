"""Beyond the paper: a class for each point, the channel hierarchy against its dense twin.

python -m scripts.experiments.segmentation
"""

from __future__ import annotations

import sys
from typing import Any

from mgic_geo.datasets.furniture import FURNITURE_PARTS, Furniture10Parts
from mgic_geo.models import load_model
from mgic_geo.profiling import profile_point_model
from mgic_geo.training import TrainConfig, predict_logits, to_clouds

from ._experiment import Context, Experiment
from ._program import program
from ._training import load_recipe, run_folder, run_to_end

RECIPE = "furniture10-parts"
EPOCHS = 16  # of the recipe's 48, unless all are asked for
MODELS = {"MGIC-diffGCN": "mgic_diffgcn_seg", "diffGCN, dense": "diffgcn_seg"}
METRICS = {"mean_iou": "mean_iou", "shape_iou": "shape_iou", "accuracy": "accuracy"}


def run(context: Context) -> None:
    for seed in context.seeds_of(3):
        for row, model in MODELS.items():
            if context.wants(row) and not context.has(row, "mean_iou", seed):
                _take(context, row, _config(context, model, seed))
    _draw(context)


def _config(context: Context, model: str, seed: int) -> TrainConfig:
    options: dict[str, Any] = {"model": model, "seed": seed}
    if not context.full:
        options["epochs"] = EPOCHS
    if context.quick:
        options |= {"epochs": 1, "steps_per_epoch": 2, "num_points": 64, "batch_size": 8}
        options |= {"per_class": 1, "width": 16}
    return load_recipe(context, RECIPE, **options)


def _take(context: Context, row: str, config: TrainConfig) -> None:
    """Trains, or takes up what is there, and records how the last epoch does on the test shapes."""
    folder = run_folder(context, row, config.seed)
    result = run_to_end(folder, config)
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


def _draw(context: Context) -> None:
    """A test shape of each class with what the first run of MGIC says of its points."""
    weights = run_folder(context, next(iter(MODELS)), 0) / "best.safetensors"
    if not weights.exists():
        return
    from mgic_geo.viz import plot_point_labels

    model, info = load_model(weights)
    pieces = Furniture10Parts("test", 1, num_points=info.num_points)
    clouds = to_clouds(pieces)
    labels = predict_logits(model, clouds.pos).argmax(dim=2)
    right = (labels == pieces.point_labels).float().mean(dim=1)
    titles = [
        f"{name.replace('_', ' ')}: {share:.0%}" for name, share in zip(pieces.categories, right)
    ]
    path = context.picture("segmentation.png")
    plot_point_labels(list(clouds.pos), list(labels), info.classes, path, titles)


EXPERIMENT = Experiment(
    name="segmentation",
    title="A class for each point: the parts of Furniture-10",
    about="""
        Beyond the paper. The graph layers of Table 10 with a head for each node: 13 parts, 512
        points a shape, 600 training shapes; three seeds of 16 epochs, one of 48, which is shown.
        The last epoch is judged on the 200 test shapes, which no one tuned on: mean IoU over the
        parts, over the shapes (of a shape over its parts first, as ShapeNet-Part's instance mean),
        and the share of points; then the IoU of each part. The picture shows the first test shape
        of each class as the first run of MGIC labels it, with the share of points that are right.
    """,
    run=run,
    columns={
        "macs": ("MACs", "count"),
        "mean_iou": ("mean IoU, %", ".2f"),
        "shape_iou": ("mean IoU of shapes, %", ".2f"),
        "accuracy": ("points, %", ".2f"),
        **{f"class {name}": (name, ".1f") for name in FURNITURE_PARTS},
    },
    pictures=("segmentation.png",),
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
