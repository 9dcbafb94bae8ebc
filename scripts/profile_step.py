"""Where the time of a training step of image networks goes, by kind of operator.

    OMP_NUM_THREADS=1 python scripts/profile_step.py --out results/step_profile.csv \\
        resnet56 mgic_resnet56 'mgic_resnet56 {"norm": "none", "convs": 1}'

A step is forward and backward of 64 images of 32 x 32 on the CPU, channels last. Its time is
processor time, the least of some steps in turn, and is shared out as torch's profiler saw it.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from mgic_geo.io import atomic_write
from mgic_geo.models import create_model
from mgic_geo.profiling import profile_model_by_name
from mgic_geo.training import provenance

KINDS = (
    "3x3, dense",
    "3x3, in groups",
    "3x3, depthwise",
    "1x1",
    "norms",
    "restriction, prolongation",
    "sums, ReLU",
    "other",
)
_BY_NAME = (
    ("norm_act", "norms"),
    ("batch_norm", "norms"),
    ("grouped_pointwise", "restriction, prolongation"),
    ("correction", "restriction, prolongation"),
    ("add", "sums, ReLU"),
    ("sub", "sums, ReLU"),
    ("neg", "sums, ReLU"),
    ("threshold", "sums, ReLU"),
    ("clamp_min", "sums, ReLU"),
    ("relu", "sums, ReLU"),
)


def kind_of(name: str, shapes: Sequence[Sequence[int]]) -> str:
    """The kind of an operator, by its name and, of a convolution, by the shape of its weight."""
    if "convolution" in name.lower():
        maps = [shape for shape in shapes if len(shape) == 4]
        if len(maps) < 2:
            return "other"
        x, weight = maps[-2:]
        if weight[2] == 1:
            return "1x1"
        if weight[1] == x[1]:
            return "3x3, dense"
        return "3x3, depthwise" if weight[1] == 1 else "3x3, in groups"
    return next((kind for part, kind in _BY_NAME if part in name), "other")


def make_step(name: str, options: dict[str, Any], batch: int) -> Callable[[], None]:
    """Forward and backward of one batch."""
    torch.manual_seed(0)
    model: Any = create_model(name, **options)
    model = model.to(memory_format=torch.channels_last).train()
    x = torch.randn(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    label = torch.arange(batch) % model.num_classes

    def step() -> None:
        model.zero_grad()
        F.cross_entropy(model(x), label).backward()

    return step


def shares(step: Callable[[], None]) -> dict[str, float]:
    """Which share of a step each of :data:`KINDS` takes."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        step()
    spent: Counter[str] = Counter()
    for event in seen.key_averages(group_by_input_shape=True):
        spent[kind_of(event.key, event.input_shapes)] += event.self_cpu_time_total
    return {kind: spent[kind] / spent.total() for kind in KINDS}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="+", metavar="'NAME OPTIONS'", help="options in JSON")
    parser.add_argument("--out", type=Path, help="CSV file of rows")
    parser.add_argument("--batch", type=int, default=64, help="images a step")
    parser.add_argument("--repeats", type=int, default=5, help="steps that are timed")
    given = parser.parse_args(arguments)
    specs = [network.partition(" ")[::2] for network in given.networks]
    options = [json.loads(text or "{}") for _, text in specs]
    steps = [make_step(name, chosen, given.batch) for (name, _), chosen in zip(specs, options)]
    for step in steps:
        step()
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(given.repeats):
        for step, own in zip(steps, times):
            start = time.process_time()
            step()
            own.append(1e3 * (time.process_time() - start))
    rows = []
    for (name, _), chosen, step, own in zip(specs, options, steps, times):
        layers = profile_model_by_name(name, chosen, image_size=32)
        best = min(own)
        rows.append(
            {
                "model": name,
                "options": json.dumps(chosen) if chosen else "",
                "parameters": sum(layer.parameters for layer in layers),
                "macs": sum(layer.macs for layer in layers),
                "batch": given.batch,
                "step, ms": f"{best:.0f}",
                "images a second": f"{1e3 * given.batch / best:.0f}",
                **{f"{kind}, ms": f"{best * share:.0f}" for kind, share in shares(step).items()},
                **provenance(),
            }
        )
        print(", ".join(f"{key}: {rows[-1][key]}" for key in list(rows[-1])[:-5]), flush=True)
    if given.out is not None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(given.out, "w", encoding="utf-8") as file:
            file.write(text.getvalue())


if __name__ == "__main__":
    main()
