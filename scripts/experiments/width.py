"""Beyond the paper: what width costs and buys, dense and MGIC, and a sweep of s_g and s_c.

    python -m scripts.experiments.width
    python -m scripts.experiments.width --full

DiffGCN classifiers of widths 64 to 512 on ModelNet-10: parameters, multiply-accumulates, the time
of a training step, and accuracy after equal steps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from mgic_geo.models import create_model
from mgic_geo.training import AugmentConfig
from mgic_geo.viz._figure import COLOURS, new_figure, save_figure, tidy
from scripts.benchmarks._timing import fit_exponent

from ._experiment import Context, Experiment
from ._modelnet import COLUMNS, METRICS, recipe, time_steps
from ._program import program
from ._rows import Row, read_rows
from ._training import train_row

PICTURE = "width.png"
WIDTHS = (64, 128, 256, 512)
SWEEP = ((4, 16), (8, 8), (16, 16), (8, 32), (16, 32), (32, 32))


class Line(NamedTuple):
    """A row: a model of a width, with a hierarchy if it has one."""

    model: str
    width: int
    hierarchy: tuple[int, int] | None = None

    @property
    def kind(self) -> str:
        return "dense" if self.hierarchy is None else f"MGIC {self.hierarchy}"

    @property
    def name(self) -> str:
        return f"{self.kind}, width {self.width}"

    @property
    def options(self) -> dict[str, Any]:
        if self.hierarchy is None:
            return {"width": self.width}
        group_size, coarsest = self.hierarchy
        return {"width": self.width, "group_size": group_size, "coarsest": coarsest}


KINDS: dict[str, Callable[[int], Line]] = {
    "dense": lambda width: Line("diffgcn", width),
    "MGIC (8, 16)": lambda width: Line("mgic_diffgcn", width, (8, 16)),
    "MGIC (16, 64)": lambda width: Line("mgic_diffgcn", width, (16, 64)),
}
LINES = (
    # the widest dense one last: it takes as long as all others together
    *(Line("mgic_diffgcn", 64, hierarchy) for hierarchy in SWEEP),
    *(make(width) for width in WIDTHS for make in KINDS.values()),
)


def run(context: Context) -> None:
    lines = [line for line in LINES if context.wants(line.name)]
    if context.quick:
        lines = [line for line in lines if line.width <= 128 and line.hierarchy not in SWEEP]
    clouds, points = (2, 64) if context.quick else (4, 1024)
    pos = torch.rand(clouds, points, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    models = {line.name: create_model(line.model, num_classes=10, **line.options) for line in lines}
    time_steps(context, models, pos)
    # A wide dense network by the whole recipe would take days on two cores.
    # 400 steps are too few to need the recipe's regularisation.
    short: dict[str, Any] = {"num_points": 256, "epochs": 5, "steps_per_epoch": 80, "ema": 0.0}
    short["augment"] = AugmentConfig(drop=0.5)
    for line in lines:
        for seed in context.seeds_of(3 if context.full else 1):
            options = {**({} if context.full else short), **line.options, "model_options": {}}
            train_row(context, line.name, recipe(context, line.model, **options), seed, METRICS)
    save_figure(draw(read_rows(context.path)), context.picture(PICTURE), dpi=110)


def draw(rows: list[Row]) -> Any:
    """Parameters, MACs, time and accuracy against width."""
    figure = new_figure(9.6, 6.2)
    panels = {
        "parameters": "parameters",
        "macs": "MACs of a cloud",
        "step": "ms of a training step, 4,096 nodes",
        "class_accuracy": "mean class accuracy, validation, %",
    }
    for axes, (quantity, label) in zip(figure.subplots(2, 2).flat, panels.items(), strict=True):
        for (kind, make), color in zip(KINDS.items(), COLOURS, strict=True):
            points = {}
            for width in WIDTHS:
                own = [row for row in rows if row["row"] == make(width).name and row["ours"]]
                values = [float(row[quantity]) for row in own if row.get(quantity)]
                values += [float(row["ours"]) for row in own if row["metric"] == quantity]
                if values:
                    points[width] = sum(values) / len(values)
            text = kind
            if len(points) > 1 and quantity != "class_accuracy":
                text += f": {fit_exponent(list(points), list(points.values())):.2f}"
            axes.plot(*zip(*points.items()), marker="o", ms=4, color=color, label=text)
        axes.set_xscale("log", base=2)
        axes.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
        if quantity != "class_accuracy":
            axes.set_yscale("log")
        axes.set_xlabel("width", fontsize=9)
        axes.set_ylabel(label, fontsize=9)
        axes.legend(frameon=False, fontsize=8)
        tidy(axes)
    figure.tight_layout()
    return figure


EXPERIMENT = Experiment(
    name="width",
    title="Width at linear cost, and the sweep of s_g and s_c",
    about="""
        Beyond the paper. DiffGCN classifiers on ModelNet-10; accuracy after 400 steps of 16 clouds
        of 256 points, one seed, so it says little of where a network ends, and differences of a
        point are noise; `--full` trains whole schedules. The numbers in the legends are fitted
        exponents: those of MGIC are above 1 in parameters and MACs by the MLPs of the classifier
        alone, which are dense in all networks.
    """,
    run=run,
    columns=COLUMNS,
    pictures=(PICTURE,),
    paper="network",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
