"""Table 3: ResNet-56 and its compressed forms on CIFAR-10.

python -m scripts.experiments.table_03
python -m scripts.experiments.table_03 --full --source cifar10=FILE.zip
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from scripts.benchmarks.images import make_run

from ._cifar import COLUMNS, METRICS, recipe
from ._experiment import Context, Experiment
from ._program import program
from ._steps import record_steps
from ._training import train_row


class Line(NamedTuple):
    """A row: our model, if there is one, and the paper's parameters, MACs and accuracy."""

    name: str
    model: str
    paper: Mapping[str, float]


def _paper(parameters: float | None, macs: float, accuracy: float) -> dict[str, float]:
    found = {"macs": 1e6 * macs, "accuracy": accuracy}
    return found if parameters is None else {"parameters": 1e6 * parameters, **found}


LINES = (
    Line("ResNet-56", "resnet56", _paper(0.85, 125, 93.0)),
    Line("CP-ResNet-56", "", _paper(None, 63, 92.0)),
    Line("L1-ResNet-56", "", _paper(0.73, 91, 92.5)),
    Line("AMC-ResNet-56", "", _paper(None, 63, 91.9)),
    Line("Ghost-ResNet-56", "ghost_resnet56", _paper(0.43, 63, 92.7)),
    Line("MGIC-ResNet-56 (8, 16)", "mgic_resnet56", _paper(0.41, 60, 94.2)),
    Line("ResNet-20", "resnet20", {}),
)


def run(context: Context) -> None:
    for line in LINES:
        if not context.wants(line.name):
            continue
        if not line.model:
            context.record(line.name, {}, line.paper)
            continue
        options: dict[str, Any] = {"width": 4} if context.quick else {}
        for seed in context.seeds_of(1):
            config = recipe(context, line.model, options)
            train_row(context, line.name, config, seed, METRICS, line.paper)
    batch, side = (8, 16) if context.quick else (128, 32)
    runs = {
        line.name: make_run(line.model, "channels_last", side, batch, "training step")
        for line in LINES
        if line.model and context.wants(line.name)
    }
    record_steps(context, runs, f"{batch} images of {side} x {side}, forward and backward")


EXPERIMENT = Experiment(
    name="table_03",
    title="Table 3: ResNet-56 on CIFAR-10",
    about="""
        Ours is the validation accuracy after 3 epochs on 45,000 of the training images, one recipe
        for all: it says how fast a network starts to learn, not how it ends. The paper's is the
        test accuracy after its whole schedule (`--full`: 200 epochs). Rows of other methods are not
        in the registry; ResNet-20 stands here as a dense network of the size of the MGIC one.
    """,
    run=run,
    columns={**COLUMNS, "step": ("ms a step", ".0f")},
    paper="model",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
