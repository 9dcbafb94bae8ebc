"""Compressing a network: find its layers, choose their forms, fit and exchange them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from mgic_geo.compress._calibrate import Record, describe
from mgic_geo.compress._exchange import exchange, set_factors
from mgic_geo.compress._find import Layer, Where, find_layers
from mgic_geo.compress._fit import fit
from mgic_geo.compress._plan import by_size, by_target, decide
from mgic_geo.compress._refit import refit
from mgic_geo.compress.report import CompressReport, LayerReport
from mgic_geo.errors import MgicGeoError
from mgic_geo.nn.linear_grids import LinearGrids
from mgic_geo.profiling import profile_model

_COSTS = ("parameters", "macs")
_STARTS = ("fit", "layers", "random")
_FORMS = ("hierarchy", "tucker", "low_rank")

Target = float | Mapping[str, float]


def compress(
    model: nn.Module,
    example_inputs: Any,
    group_size: int = 8,
    coarsest: int = 16,
    *,
    where: Where | None = None,
    target: Target | None = None,
    loader: Iterable[Any] | None = None,
    form: str = "hierarchy",
    start: str = "fit",
    keep_ends: bool | None = None,
    seed: int = 0,
) -> tuple[nn.Module, CompressReport]:
    r"""A copy of a network whose dense layers are in the channel hierarchy.

    A layer :math:`W` becomes :math:`B + P C R`: a relaxation :math:`B` in groups, each of which
    sees the inputs that explain most of what is left to it, and a coarse grid that joins all
    channels, see :class:`~mgic_geo.nn.LinearGrids`. A kernel works on the coarse grid, in groups
    too where that is nearer. The factors are those that change the outputs of the layer least on
    the inputs that it gets, found by least squares in turns. With a ``target`` a layer may do
    without either part: low rank is one of its forms, and is taken where nothing is nearer at the
    same cost. Replaced are
    ``Linear``, ``Conv1d`` to ``Conv3d``, transformers' ``Conv1D`` and PyG's ``Linear``, wherever
    they are; the report says why others were not.

    Args:
        model: Any module. It is not changed.
        example_inputs: What it takes: a tensor, a tuple for ``model(*inputs)`` or a mapping for
            ``model(**inputs)``.
        group_size: Channels a group.
        coarsest: Width of the coarse grid; with a ``target`` it is chosen layer by layer.
        where: Layers that may be replaced: a pattern of names, a type, a
            ``predicate(name, module)``, or several of them; all by default.
        target: Share of the model's parameters that may remain, or shares of
            ``{"parameters": ..., "macs": ...}``. Width of the coarse grid, groups, and which layers
            stay dense are then chosen by how much the outputs of the model change.
        loader: More inputs like the example to fit to; batches for fitting, not of a whole
            training set: all are run, some twice a layer.
        form: ``"hierarchy"``, or peers to compare with, fitted and chosen by the same means:
            ``"low_rank"`` for :math:`W = P R` alone, ``"tucker"`` for a dense kernel
            between two maps of low rank as well.
        start: ``"fit"``; ``"layers"`` fits each layer to the dense network's inputs instead of
            those that the compressed layers before it give, which is faster; ``"random"`` is for
            training from scratch.
        keep_ends: Leave the first and the last layer alone; by default without ``where`` only.
        seed: Of the choice of inputs that layers are fitted to.

    Returns:
        The copy and a report.

    Raises:
        MgicGeoError: There is nothing to replace, layers have no weights yet, the target cannot be
            met (the message has the smallest possible), or an option is wrong.
        DataError: The model does not take the example.

    Example:
        >>> import mgic_geo
        >>> net = nn.Sequential(*(nn.Linear(64, 64) for _ in range(4)))
        >>> slim, report = mgic_geo.compress(net, torch.randn(32, 64), target=0.7)
        >>> len(report.replaced), report.parameters[1] <= 0.7 * report.parameters[0]
        (2, True)
    """
    for option, text, known in (("start", start, _STARTS), ("form", form, _FORMS)):
        if text not in known:
            raise MgicGeoError(f"{option} = {text!r}: use one of {', '.join(known)}")
    for option, number in (("group_size", group_size), ("coarsest", coarsest)):
        if number < 1:
            raise MgicGeoError(f"{option} = {number}: it must be at least 1")
    targets = _targets(target)
    dense, slim = _copy(model).eval(), _copy(model)
    layers = find_layers(dense, where)
    batches = [example_inputs, *(() if loader is None else loader)]
    with torch.random.fork_rng(devices=[]):
        record = Record(layers, seed)
        outputs = record.watch(dense, batches, moments=start != "random" or bool(targets))
        free = decide(layers, record, where is None if keep_ends is None else keep_ends)
        macs = _macs(dense, example_inputs)
        if targets:
            whole = _whole(dense, macs, targets)
            chosen = by_target(
                dense, free, record, example_inputs, outputs, form, group_size, targets, whole
            )
        else:
            chosen = by_size(free, form, group_size, coarsest)
        used = [layer for layer in free if layer.name in chosen]
        errors = {}
        for layer in used:
            new = layer.build(chosen[layer.name])
            if start != "random":
                factors = fit(layer.weight(), record.metric(layer), chosen[layer.name])
                errors[layer.name] = factors.error
                set_factors(new, factors)
            slim = exchange(slim, layer.name, new)
        if start == "fit":
            errors = refit(dense, slim, used, batches)
    report = CompressReport(
        type(model).__name__,
        [_line(layer, chosen.get(layer.name), errors.get(layer.name)) for layer in layers],
        (_count(model), _count(slim)),
        macs if macs is None else (macs, macs - _saved(used, chosen)),
        {
            "form": form, "group_size": group_size, "coarsest": coarsest, "target": targets or None,
            "start": start, "inputs": describe(example_inputs),
        },
    )  # fmt: skip
    return slim, report


def _targets(target: Target | None) -> dict[str, float]:
    if target is None:
        return {}
    found = dict(target) if isinstance(target, Mapping) else {"parameters": float(target)}
    for name, share in found.items():
        if name not in _COSTS or not 0.0 < share < 1.0:
            raise MgicGeoError(
                f"target = {target!r}: a share between 0 and 1 of 'parameters' or 'macs'"
            )
    return found


def _copy(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise MgicGeoError(
            f"{type(model).__name__} cannot be copied ({type(error).__name__}: "
            f"{str(error).splitlines()[0][:160]}), and the given model must stay as it is"
        ) from error


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _macs(model: nn.Module, inputs: Any) -> int | None:
    """Multiply-accumulates of one call; None where torch cannot count them."""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    if isinstance(inputs, Mapping):
        kwargs = inputs
    else:
        args = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    try:
        return sum(row.macs for row in profile_model(model, *args, **kwargs))
    except Exception:  # the counter follows every operator, and some have no formula
        return None


def _whole(model: nn.Module, macs: int | None, targets: Mapping[str, float]) -> dict[str, int]:
    if "macs" in targets and not macs:
        raise MgicGeoError("target macs: torch cannot count those of this model; use parameters")
    return {"parameters": _count(model), "macs": macs or 0}


def _saved(layers: Iterable[Layer], chosen: Mapping[str, LinearGrids]) -> int:
    return sum(layer.dense_macs - layer.macs(chosen[layer.name]) for layer in layers)


def _line(layer: Layer, grids: LinearGrids | None, error: float | None) -> LayerReport:
    m, n, _ = layer.weight_shape
    kernel = "x".join(map(str, getattr(layer.module, "kernel_size", ())))
    size = f"{n} -> {m}{', ' * bool(kernel)}{kernel}" if m else ""
    bias = 0 if getattr(layer.module, "bias", None) is None else m
    before = layer.dense_parameters + bias if m else 0
    after = before if grids is None else grids.parameters() + bias
    macs = layer.dense_macs, layer.dense_macs if grids is None else layer.macs(grids)
    return LayerReport(
        layer.name, layer.kind, size, grids is not None,
        layer.note if grids is not None else layer.reason, "" if grids is None else form(grids),
        (before, after), macs, error,
    )  # fmt: skip


def form(grids: LinearGrids) -> str:
    """The form of a layer in a few words."""
    fine = grids.grids[0]
    parts = []
    if fine.groups:
        parts.append(f"{fine.groups} groups of {fine.fan_in} to {fine.outputs // fine.groups}")
    if len(grids.grids) > 1:
        coarse = grids.grids[1]
        kernel = ""
        if coarse.groups and grids.taps > 1:
            kernel = " with kernel" + f" in {coarse.groups} groups" * (coarse.groups > 1)
        same = coarse.inputs == coarse.outputs
        width = f"{coarse.inputs}" if same else f"{coarse.inputs} to {coarse.outputs}"
        parts.append(f"{width} coarse{kernel}")
    return " + ".join(parts)
