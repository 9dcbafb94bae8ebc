"""What Tables 5 and 7 share: counts, ImageNet as in the paper, a study that runs on CPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mgic_geo.training import ImageConfig, TrainConfig
from scripts.count_models import Row, count

from ._experiment import Context
from ._training import FAST, load_recipe, train_row

COLUMNS = {
    "parameters": ("parameters", "count"),
    "macs": ("MACs", "count"),
    "bare_macs": ("without R and P", "count"),
    "small": ("CIFAR-10, short, %", ".2f"),
    "top1": ("ImageNet top-1, %", ".1f"),
    "top5": ("top-5, %", ".1f"),
}
_METRICS = {"accuracy": "top1", "top5_accuracy": "top5"}
STEPS = 200  # of the short budget, 64 images each, by AdamW


@dataclass(frozen=True)
class Line:
    """A row of one of the tables.

    Args:
        name: Its name.
        parameters: The paper's, in millions.
        macs: The paper's multiply-accumulates, in millions.
        top1: The paper's accuracy in percent.
        top5: Likewise.
        model: In our registry, empty for networks that it does not have.
        options: Of the model.
    """

    name: str
    parameters: float | None
    macs: float | None
    top1: float | None
    top5: float | None = None
    model: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def paper(self) -> dict[str, float]:
        """What the paper prints."""
        found = {
            "parameters": None if self.parameters is None else 1e6 * self.parameters,
            "macs": None if self.macs is None else 1e6 * self.macs,
            "top1": self.top1,
            "top5": self.top5,
        }
        return {name: value for name, value in found.items() if value is not None}


def recipe(context: Context, line: Line) -> TrainConfig:
    """``configs/imagenet.yaml`` in one process, or a few steps on CIFAR-10 at 64 x 64 pixels.

    Args:
        context: The experiment.
        line: The row.
    """
    model: dict[str, Any] = {"model": line.model, "model_options": dict(line.options)}
    if context.full:
        return load_recipe(context, "imagenet", batch_size=256, **model)
    return load_recipe(
        context,
        "cifar10",
        epochs=1,
        steps_per_epoch=2 if context.quick else STEPS,
        batch_size=4 if context.quick else 64,
        image=ImageConfig(image_size=64, scale=(0.3, 1.0)),
        workers=0 if context.quick else 1,
        **FAST,
        **model,
    )


def run_lines(context: Context, lines: Sequence[Line]) -> None:
    """Counts every row, and then trains those that are in the registry."""
    lines = [line for line in lines if context.wants(line.name)]
    for line in lines:
        ours: dict[str, float | None] = {}
        if line.model:
            found = count(Row(line.model, line.options))
            names = {"bare_macs": "macs_without_transfers"}
            ours = {m: float(found[names.get(m, m)]) for m in ("parameters", "macs", "bare_macs")}
        context.record(line.name, ours, line.paper(), note="counted, nothing was trained")
    for line in lines:
        if line.model:
            metrics = _METRICS if context.full else {"accuracy": "small"}
            paper = line.paper() if context.full else None
            train_row(context, line.name, recipe(context, line), 0, metrics, paper)
