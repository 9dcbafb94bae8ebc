"""Forms of the MGIC image block against dense networks: how fast each learns CIFAR-10.

python -m scripts.experiments.image_trials --source cifar10=FILE.zip          # three seeds of all
python -m scripts.experiments.image_trials --source cifar10=FILE.zip --seeds 1 "ResNet-20*"
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mgic_geo.profiling import profile_model_by_name
from mgic_geo.training import TrainConfig
from mgic_geo.training.data import make_splits

from ._experiment import Context, Experiment
from ._program import program
from ._trial import Trial, run_trial

_STEPS = 500  # of a trial, unless its row says otherwise


class Line(NamedTuple):
    """A network, its options, and how many steps and seeds it is given."""

    name: str
    model: str
    options: Mapping[str, Any] = {}
    steps: int = _STEPS
    seeds: int = 3


_BARE = {"norm": "none"}
_ONE = {**_BARE, "convs": 1}
_16 = {**_ONE, "group_size": 16, "coarsest": 32}
_WIDE = {**_ONE, "widening": 4}
# The networks that longer trials and three seeds are for.
_EQUAL = Line("ResNet-20, width 13", "resnet20", {"width": 13})
_PAPER = Line("MGIC (8, 16), batch norm", "mgic_resnet20", {"correction_scale": 1.0})
_NO_NORM = Line("MGIC (8, 16), no norm", "mgic_resnet20", _BARE)
_WIDER = Line("MGIC (8, 16), one 3x3, 16-64-256", "mgic_resnet20", _WIDE)
LINES: Sequence[Line] = (
    _WIDER,
    _EQUAL,
    _NO_NORM,
    _PAPER,
    Line("ResNet-20, width 10", "resnet20", {"width": 10}),
    Line("ResNet-20", "resnet20", seeds=1),
    Line("MGIC (8, 16), pairs", "mgic_resnet20", {**_BARE, "transfers": "pairs"}, seeds=1),
    Line(
        "MGIC (8, 16), one 3x3, 16-64-256, pairs",
        "mgic_resnet20",
        {**_WIDE, "transfers": "pairs"},
        seeds=1,
    ),
    Line("MGIC (8, 16), additive", "mgic_resnet20", {"cycle": "additive"}, seeds=1),
    Line(
        "MGIC (8, 16), one 3x3, 16-64-256, ReLU ahead of the sum",
        "mgic_resnet20",
        {**_WIDE, "act_first": True},
        seeds=1,
    ),
    Line("MGIC (16, 32), one 3x3", "mgic_resnet20", _16, seeds=1),
    Line(
        "MGIC (16, 32), one 3x3, grouped transitions",
        "mgic_resnet20",
        {**_16, "transition": "grouped"},
        seeds=1,
    ),
    Line("dense, one 3x3", "mgic_resnet20", {**_ONE, "coarsest": 64}, seeds=1),
    Line(
        "MGIC (16, 32), one 3x3, separable on fine grids, 16-64-256",
        "mgic_resnet20",
        {**_16, "fine": "separable", "widening": 4},
        seeds=1,
    ),
    Line("ResNet-20, 8-24-72", "resnet20", {"width": 8, "widening": 3}, seeds=1),
    Line("MGIC (8, 16), one 3x3", "mgic_resnet20", _ONE, seeds=1),
    Line(
        "MGIC (16, 16), one 3x3, separable on fine grids, width 32",
        "mgic_resnet20",
        {**_16, "coarsest": 16, "fine": "separable", "width": 32},
        seeds=1,
    ),
    *(
        Line(line.name, line.model, line.options, steps, seeds=1)
        for line, steps in (
            (_NO_NORM, 1400),
            (_PAPER, 1400),
            (_WIDER, 3000),
            (_EQUAL, 3000),
            (_NO_NORM, 3000),
        )
    ),
)


def row_of(line: Line) -> str:
    """The name of a line's row, which says the number of steps where it is not the usual one."""
    return line.name if line.steps == _STEPS else f"{line.name}, {line.steps:,} steps"


def run(context: Context) -> None:
    """All trials that have no row yet: the short ones first, and the first seed of each line."""
    splits = None
    assert context.facts  # the commit that is run, not one that is made meanwhile
    seeds = context.seeds_of(max(line.seeds for line in LINES))
    queue = [(line.steps, seed, i, line) for i, line in enumerate(LINES) for seed in seeds]
    for _, seed, _, line in sorted(queue, key=lambda item: item[:3]):
        row = row_of(line)
        wanted = context.seeds is not None or seed < line.seeds
        if not wanted or not context.wants(row) or context.has(row, "accuracy", seed):
            continue
        config = recipe(context, line, seed)
        splits = make_splits(config) if splits is None else splits
        trial = Trial(config, steps=4 if context.quick else line.steps)
        result = run_trial(trial, splits, context.runs / "image_trials")
        layers = profile_model_by_name(line.model, dict(line.options), image_size=32)
        options = json.dumps(dict(line.options))
        context.record(
            row,
            result.metrics(),
            parameters=sum(layer.parameters for layer in layers),
            macs=sum(layer.macs for layer in layers),
            seed=seed,
            seconds=result.seconds,
            note=f"{trial.steps} steps of {config.batch_size}; {line.model} {options}",
        )


def recipe(context: Context, line: Line, seed: int) -> TrainConfig:
    """AdamW at 3e-3 in one cycle, on padded crops and mirror images."""
    return TrainConfig(
        data="cifar10",
        source=context.sources.get("cifar10"),
        val_fraction=0.1,
        model=line.model,
        model_options=dict(line.options),
        batch_size=8 if context.quick else 64,
        workers=0,
        lr=3e-3,
        memory_format="channels_last",
        seed=seed,
    )


EXPERIMENT = Experiment(
    name="image_trials",
    title="Forms of the image block",
    about="""
        Beyond the paper. What a form of the MGIC block is worth beside dense networks of equal
        parameters and of equal multiply-accumulates: CIFAR-10, 500 steps of 64 images unless a row
        says otherwise, AdamW at 3e-3 in one cycle, crops and mirror images, the same for all. The
        loss is the mean of the last 100 steps (label smoothing 0.1), the accuracy that of the 5,000
        validation images after the last step. A step is processor time of one thread, not the
        clock's. Seeds differ by 2 points and 0.03 of loss, so a number without its ± says little.
        *One 3x3* is one convolution in a relaxation where the paper has two, *16-64-256* the widths
        of the stages. *Batch norm* on the correction is the paper's form.
    """,
    run=run,
    columns={
        "loss": ("training loss", ".3f"),
        "accuracy": ("top-1, %", ".1f"),
        "step": ("ms a step", ".0f"),
    },
    paper="network",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
