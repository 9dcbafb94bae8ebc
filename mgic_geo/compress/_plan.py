"""Which layers are replaced, by which forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo.compress._calibrate import Record, call, tensors
from mgic_geo.compress._find import Layer
from mgic_geo.compress._fit import fit
from mgic_geo.compress._options import Option, choose, layer_options
from mgic_geo.errors import MgicGeoError
from mgic_geo.nn.linear_grids import LinearGrids, two_grids

_GAIN = 0.9  # a layer that would keep more than this of its weights stays
_SENSED = 0.25  # share of its cost at which a layer's sensitivity is measured


def decide(layers: Sequence[Layer], record: Record, keep_ends: bool) -> list[Layer]:
    """The layers that may be replaced, in the order of their calls; the others get a reason.

    Raises:
        MgicGeoError: There is none.
    """
    by_name = {layer.name: layer for layer in layers}
    called = [by_name[name] for name in record.order]
    for layer in layers:
        if not layer.reason and layer not in called:
            layer.reason = "not called as a module by the example"
    maps = [layer for layer in called if layer.weight_shape[0]]
    if keep_ends and maps:
        for layer, which in ((maps[0], "first"), (maps[-1], "last")):
            layer.reason = layer.reason or f"{which} layer; keep_ends=False replaces it"
    free = [layer for layer in called if not layer.reason]
    if not free:
        raise MgicGeoError(nothing(layers))
    return free


def nothing(layers: Sequence[Layer]) -> str:
    """The message for a network without a layer to replace."""
    reasons = "; ".join(f"{layer.name or '(itself)'}: {layer.reason}" for layer in layers[:6])
    more = f"; and {len(layers) - 6} more" if len(layers) > 6 else ""
    return f"there is nothing to replace ({reasons or 'no layer couples channels'}{more})"


def by_size(layers: Sequence[Layer], group_size: int, coarsest: int) -> dict[str, LinearGrids]:
    """The same groups and coarse grid for all layers, where they save something.

    Raises:
        MgicGeoError: They do nowhere.
    """
    chosen = {}
    for layer in layers:
        m, n, taps = layer.weight_shape
        core = None if group_size else False
        grids = two_grids(n, m, group_size, min(coarsest, n, m), taps, core)
        kept = grids.parameters() / layer.dense_parameters
        if kept > _GAIN:
            layer.reason = f"small: it would keep {100.0 * kept:.0f} % of its weights"
        else:
            chosen[layer.name] = grids
    if not chosen:
        raise MgicGeoError(nothing(layers))
    return chosen


def by_target(
    dense: nn.Module,
    layers: Sequence[Layer],
    record: Record,
    inputs: Any,
    outputs: Any,
    group_size: int,
    target: Mapping[str, float],
    whole: Mapping[str, int],
) -> dict[str, LinearGrids]:
    """Forms that meet the target, chosen by what each layer's error does to the outputs."""
    by = next(iter(target))
    wanted = tensors(outputs)
    options: dict[str, list[Option]] = {}
    for layer in layers:
        weight, metric = layer.weight(), record.metric(layer)
        found = layer_options(layer, weight, metric, group_size, by)
        sensed = min(found[1:], key=lambda o: abs(o.costs[by] - _SENSED * found[0].costs[by]))
        scale = 1.0
        if sensed.grids is not None and sensed.loss > 0.0:
            near = fit(weight, metric, sensed.grids).dense(weight)
            scale = _change(dense, layer, near, inputs, wanted) / sensed.loss
        options[layer.name] = [replace(o, loss=scale * o.loss) for o in found]
    spent = {k: sum(o[0].costs[k] for o in options.values()) for k in target}
    rest = {k: whole[k] - spent[k] for k in target}
    chosen = choose(options, rest, target)
    for layer in layers:
        if chosen[layer.name].grids is None:
            layer.reason = "stays dense: the target is met without it"
    return {name: o.grids for name, o in chosen.items() if o.grids is not None}


@torch.no_grad()
def _change(
    model: nn.Module, layer: Layer, weight: Tensor, inputs: Any, wanted: Sequence[Tensor]
) -> float:
    """Relative squared change of the model's outputs where one layer has another weight."""
    parameter = layer.module.get_parameter("weight")
    kept = parameter.detach().clone()
    parameter.copy_(layer.lay(weight))
    try:
        found = tensors(call(model, inputs))
    finally:
        parameter.copy_(kept)
    if [x.shape for x in found] != [x.shape for x in wanted]:
        return 1.0
    change = sum(float((a - b).double().square().sum()) for a, b in zip(found, wanted))
    size = sum(float(b.double().square().sum()) for b in wanted)
    share = change / size if size > 0.0 else 1.0
    return share if share == share else 1.0
