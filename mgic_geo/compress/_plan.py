"""Which layers are replaced, by which forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo.compress._calibrate import Record, call, tensors
from mgic_geo.compress._choose import choose
from mgic_geo.compress._find import Layer
from mgic_geo.compress._fit import Factors, fit
from mgic_geo.compress._metric import Metric
from mgic_geo.compress._options import LOW_RANK, Form, Option, layer_options
from mgic_geo.errors import MgicGeoError
from mgic_geo.nn.linear_grids import LinearGrids, two_grids

_GAIN = 0.9  # a layer that would keep more than this of its weights stays
_SENSED = (0.6, 0.25, 0.09)  # shares of its cost at which a layer's sensitivity is measured

Plan = dict[str, Option]


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


def by_size(
    layers: Sequence[Layer], kind: str, group_size: int, coarsest: int
) -> dict[str, LinearGrids]:
    """The same groups and coarse grid for all layers, where they save something.

    Raises:
        MgicGeoError: They do nowhere.
    """
    chosen = {}
    for layer in layers:
        m, n, taps = layer.weight_shape
        groups, core = (group_size, None) if kind == "hierarchy" else (0, None)
        core = False if kind == "low_rank" else core
        grids = two_grids(n, m, groups, min(coarsest, n, m), taps, core)
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
    kind: str,
    group_size: int,
    target: Mapping[str, float],
    whole: Mapping[str, int],
) -> dict[str, LinearGrids]:
    """Forms that meet the target, chosen by what each layer's error does to the outputs.

    Errors of several layers do not add up as the choice takes them to. So it is made among all
    forms, among those without groups, and among low rank alone, and the plan is taken whose
    outputs are nearest to the dense network's.
    """
    by = next(iter(target))
    wanted = tensors(outputs)
    options: dict[str, list[Option]] = {}
    costs = sum(layer.dense_macs if by == "macs" else layer.dense_parameters for layer in layers)
    alike = 1.0 - (1.0 - target[by]) * whole[by] / costs
    for layer in layers:
        weight, metric = layer.weight(), record.metric(layer)
        found = layer_options(layer, weight, metric, kind, group_size, by, alike)
        options[layer.name] = _sensed(dense, layer, found, metric, by, inputs, wanted)
    spent = {k: sum(o[0].costs[k] for o in options.values()) for k in target}
    rest = {k: whole[k] - spent[k] for k in target}
    plans = [choose(options, rest, target)]
    for is_in in (lambda form: not form.is_relaxed, lambda form: form == LOW_RANK):
        fewer = {name: _among(of, is_in) for name, of in options.items()}
        try:
            plans.append(choose(fewer, rest, target))
        except MgicGeoError:  # these forms alone cannot be as small
            continue
    best = _nearest(dense, layers, record, plans, inputs, wanted)
    for layer in layers:
        if best[layer.name].grids is None:
            layer.reason = "stays dense: the target is met without it"
    return {name: o.grids for name, o in best.items() if o.grids is not None}


def _among(options: Sequence[Option], is_in: Callable[[Form], bool]) -> list[Option]:
    return [option for option in options if option.form is None or is_in(option.form)]


def _sensed(
    dense: nn.Module,
    layer: Layer,
    options: Sequence[Option],
    metric: Metric,
    by: str,
    inputs: Any,
    wanted: Sequence[Tensor],
) -> list[Option]:
    """The forms of a layer, with what they cost in the outputs of the network."""
    weight, whole = layer.weight(), options[0].costs[by]
    scales: dict[float, float] = {}  # by the error of the fit
    for share in _SENSED:
        near = min(options[1:], key=lambda o: abs(o.costs[by] - share * whole), default=None)
        if near and near.grids and near.loss > 0.0 and near.loss not in scales:
            made = fit(weight, metric, near.grids).dense(weight)
            scales[near.loss] = _change(dense, layer, made, inputs, wanted) / near.loss
    if not scales:
        return list(options)

    def scale(loss: float) -> float:
        return scales[min(scales, key=lambda at: abs(math.log(max(loss, 1e-12) / at)))]

    return [replace(o, loss=o.loss * scale(o.loss)) for o in options]


@torch.no_grad()
def _nearest(
    dense: nn.Module,
    layers: Sequence[Layer],
    record: Record,
    plans: Sequence[Plan],
    inputs: Any,
    wanted: Sequence[Tensor],
) -> Plan:
    """The plan whose fitted network says most nearly what the dense one says."""
    if all(plan == plans[0] for plan in plans):
        return plans[0]
    fits: dict[tuple[str, LinearGrids], Factors] = {}
    changes = []
    for plan in plans:
        made = []
        for layer in layers:
            grids = plan[layer.name].grids
            if grids is not None:
                key = (layer.name, grids)
                if key not in fits:
                    fits[key] = fit(layer.weight(), record.metric(layer), grids)
                made.append((layer, fits[key].dense(layer.weight())))
        changes.append(_changes(dense, made, inputs, wanted))
    return plans[changes.index(min(changes))]


def _change(
    model: nn.Module, layer: Layer, weight: Tensor, inputs: Any, wanted: Sequence[Tensor]
) -> float:
    return _changes(model, [(layer, weight)], inputs, wanted)


@torch.no_grad()
def _changes(
    model: nn.Module,
    weights: Sequence[tuple[Layer, Tensor]],
    inputs: Any,
    wanted: Sequence[Tensor],
) -> float:
    """Relative squared change of the model's outputs where some layers have other weights."""
    owners = [layer.module.get_parameter("weight") for layer, _ in weights]
    kept = [parameter.detach().clone() for parameter in owners]
    for parameter, (layer, weight) in zip(owners, weights, strict=True):
        parameter.copy_(layer.lay(weight))
    try:
        found = tensors(call(model, inputs))
    finally:
        for parameter, old in zip(owners, kept, strict=True):
            parameter.copy_(old)
    if [x.shape for x in found] != [x.shape for x in wanted]:
        return 1.0
    change = sum(float((a - b).double().square().sum()) for a, b in zip(found, wanted))
    size = sum(float(b.double().square().sum()) for b in wanted)
    share = change / size if size > 0.0 else 1.0
    return share if share == share else 1.0
