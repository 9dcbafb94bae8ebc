"""Table 9: segmentation with an LR-ASPP head, on CamVid; Cityscapes by ``--full``.

python -m scripts.experiments.table_09
python -m scripts.experiments.table_09 --full --source cityscapes=FOLDER
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mgic_geo.datasets import open_dataset
from mgic_geo.models import load_model
from mgic_geo.training import ImageConfig, Preprocess, TrainConfig
from mgic_geo.training._evaluate_images import segment
from mgic_geo.viz import class_colors
from mgic_geo.viz._figure import new_figure, save_figure
from scripts.count_models import CITY, count
from scripts.count_models import Row as Counted

from ._experiment import Context, Experiment
from ._program import program
from ._training import load_recipe, run_folder, train_row

PICTURE = "table_09.png"


class Line(NamedTuple):
    """A row: our model and options; the paper's parameters and MACs (millions) and mean IoU."""

    name: str
    model: str
    options: dict[str, Any]
    paper: tuple[float, float, float]


LINES = (
    Line("MobileNetV3-Large", "lraspp_mobilenetv3_large", {}, (1.51, 9740, 72.64)),
    Line("MobileNetV3-Small", "lraspp_mobilenetv3_small", {}, (0.47, 2900, 68.38)),
    Line("MGIC-Large, s_g = 64", "lraspp_mgic_large", {}, (1.67, 9620, 72.69)),
    Line("MGIC-Large, s_g = 32", "lraspp_mgic_large", {"group_size": 32}, (1.32, 8870, 71.02)),
    Line("MGIC-Small, s_g = 64", "lraspp_mgic_small", {}, (0.48, 2730, 68.52)),
)


def recipe(context: Context, line: Line) -> TrainConfig:
    """``configs/cityscapes.yaml`` in one process, or ``configs/camvid.yaml``."""
    model: dict[str, Any] = {"model": line.model, "model_options": line.options}
    if context.full:
        return load_recipe(context, "cityscapes", batch_size=16, **model)
    config = load_recipe(context, "camvid", val_data=context.sources.get("camvid_val"), **model)
    if context.quick:
        small = ImageConfig(image_size=32, crop_size=32)
        config = dataclasses.replace(
            config, epochs=1, steps_per_epoch=2, batch_size=2, image=small, workers=0
        )
    return config


def run(context: Context) -> None:
    for line in LINES:
        if not context.wants(line.name):
            continue
        parameters, macs, iou = line.paper
        found = count(Counted(line.model, line.options, size=CITY))
        context.record(
            line.name,
            {"city_macs": float(found["macs"])},
            {"city_macs": 1e6 * macs},
            note="counted at 1,024 x 2,048 with 19 classes",
        )
        metrics = {"mean_iou": "mean_iou" if context.full else "camvid"}
        paper = {"parameters": 1e6 * parameters, "mean_iou": iou}
        for seed in context.seeds_of(1):
            train_row(context, line.name, recipe(context, line), seed, metrics, paper)
    folders = [run_folder(context, line.name, 0) for line in LINES]
    folders = [folder for folder in folders if (folder / "best.safetensors").exists()]
    # Pictures of the data may not be handed on, so they stay beside the runs.
    figure = draw(context, folders)
    save_figure(figure, context.runs / context.experiment.name / PICTURE, dpi=110)


@torch.no_grad()
def draw(context: Context, folders: list[Path]) -> Any:
    """Three images of the validation part, their masks, and what each model finds."""
    where = context.sources.get("camvid_val")
    settings: dict[str, Any] = {} if where is None else {"source": where}
    dataset: Any = open_dataset("camvid", split="val", **settings)
    colors = class_colors(len(dataset.classes))
    figure = new_figure(2.0 * (2 + len(folders)), 4.8)
    grid = figure.subplots(3, 2 + len(folders), squeeze=False)
    for axes, title in zip(grid[0], ["image", "labels", *(f.name for f in folders)], strict=True):
        axes.set_title(title, fontsize=7)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, number in zip(grid, (5, 50, 95), strict=True):
        image, mask = dataset[number % len(dataset)]
        line[0].imshow(image.movedim(0, -1).numpy())
        line[1].imshow(_painted(mask, colors))
        for axes, folder in zip(line[2:], folders, strict=True):
            model, info = load_model(folder / "best.safetensors")
            found = segment(model, image, Preprocess.of(info))
            axes.imshow(_painted(found.argmax(dim=0), colors))
    figure.tight_layout(pad=0.3)
    return figure


def _painted(mask: Tensor, colors: Any) -> Any:
    """Colours of classes ``[H, W, 3]``; what belongs to none is black."""
    known = mask < len(colors)
    painted = colors[mask.where(known, torch.zeros_like(mask)).numpy()]
    painted[~known.numpy()] = 0
    return painted


EXPERIMENT = Experiment(
    name="table_09",
    title="Table 9: segmentation with LR-ASPP",
    about="""
        The paper's mean IoU is of Cityscapes; ours is of CamVid's validation part, 50 epochs of
        160 x 160 crops from images of 320 x 240, one recipe for all, so the two do not compare,
        but the networks among each other do. MACs of one image of 1,024 x 2,048. Cityscapes:
        `--full`, or `configs/cityscapes.yaml`. Images, labels and what each network finds are drawn
        to `runs/experiments/table_09`.
    """,
    run=run,
    columns={
        "parameters": ("parameters", "count"),
        "city_macs": ("MACs, 1,024 x 2,048", "count"),
        "camvid": ("CamVid, mean IoU, %", ".2f"),
        "mean_iou": ("Cityscapes, mean IoU, %", ".2f"),
    },
    paper="backbone",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
