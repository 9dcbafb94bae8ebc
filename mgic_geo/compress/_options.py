"""The forms that a layer can take, what they cost, and how near they come to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from mgic_geo.compress._blocks import LARGEST
from mgic_geo.compress._find import Layer
from mgic_geo.compress._fit import fit
from mgic_geo.compress._metric import Metric
from mgic_geo.nn.linear_grids import LinearGrids, two_grids

SHARES = (0.75, 0.6, 0.45, 0.35, 0.25, 0.18, 0.125, 0.09, 0.0625, 0.04)
"""Shares of a layer's cost that are tried."""
_TRIED = 0.18  # a share at which all forms are compared; the other is what all may keep alike
_ROUNDS = 2
_KEPT = 1  # forms that are followed through all shares
_WIDEST = 8  # times the width of the layer, of a coarse grid in groups

Cost = Callable[[LinearGrids], int]


@dataclass(frozen=True)
class Form:
    """What a layer is made of; how wide its coarse grid is follows from a budget.

    Args:
        outputs: Of a group of the relaxation; 0 for none.
        inputs: That such a group sees.
        core: The coarse grid's own map: ``""`` for none, ``"square"``, ``"tall"`` with the
            proportions of the layer, ``"blocks"``.
        block: Channels of a block.
    """

    outputs: int = 0
    inputs: int = 0
    core: str = ""
    block: int = 0

    @property
    def is_relaxed(self) -> bool:
        """Whether anything works in groups."""
        return self.outputs > 0 or self.core == "blocks"

    def widest(self, m: int, n: int, taps: int) -> int:
        """The largest size that makes sense."""
        if self.core == "blocks":
            return min(LARGEST // self.block**2, _WIDEST * max(m, n) // self.block)
        return {"": min(m, n * taps), "square": min(m, n), "tall": max(m, n)}[self.core]

    def grids(self, m: int, n: int, taps: int, size: int) -> LinearGrids:
        """The grids of a layer ``[m, n, taps]`` with a coarse grid of this size."""
        wide: int | tuple[int, int] = size
        if self.core == "tall":
            wide = max(1, n * size // max(m, n)), max(1, m * size // max(m, n))
        elif self.core == "blocks":
            wide = size * self.block
        groups = size if self.core == "blocks" else 1
        core = bool(self.core)
        return two_grids(n, m, self.outputs, wide, taps, core, self.inputs or None, groups)


LOW_RANK = Form()
_DENSE_CORES = (Form(core="square"), Form(core="tall"))


@dataclass(frozen=True)
class Option:
    """A form of one layer.

    Args:
        grids: None for the dense layer.
        costs: By name, ``"parameters"`` and ``"macs"``.
        loss: What it costs in the outputs of the network.
        form: None for the dense layer.
    """

    grids: LinearGrids | None
    costs: Mapping[str, int]
    loss: float = 0.0
    form: Form | None = None


def coarse_forms(layer: Layer, kind: str, group_size: int) -> list[Form]:
    """Forms without a relaxation of the fine grid."""
    m, n, taps = layer.weight_shape
    if kind == "low_rank":
        return [LOW_RANK]
    found = [LOW_RANK]
    if taps > 1:
        found += _DENSE_CORES
        if kind == "hierarchy":
            sizes = dict.fromkeys([group_size, group_size // 2, group_size // 4, 1])
            found += [Form(core="blocks", block=s) for s in sizes if 0 < s <= min(m, n)]
    return found


def relaxed_forms(coarse: Sequence[Form], group_size: int) -> list[Form]:
    """Forms with a relaxation of the fine grid: narrow groups come nearer, wide ones compute
    better.
    """
    half, quarter = max(group_size // 2, 1), max(group_size // 4, 1)
    groups = [(quarter, half), (half, half), (half, group_size), (group_size, group_size)]
    return [
        replace(form, outputs=outputs, inputs=inputs)
        for form in coarse
        for outputs, inputs in dict.fromkeys(groups)
    ]


def widest(layer: Layer, form: Form, cost: Cost, budget: float) -> LinearGrids | None:
    """The grids of this form with the widest coarse grid that the budget allows, None for none."""
    shape = layer.weight_shape
    low, high = 0, form.widest(*shape)
    while low < high:
        middle = (low + high + 1) // 2
        fits = cost(form.grids(*shape, middle)) <= budget
        low, high = (middle, high) if fits else (low, middle - 1)
    return form.grids(*shape, low) if low > 0 else None


def layer_options(
    layer: Layer,
    weight: Tensor,
    metric: Metric,
    kind: str,
    group_size: int,
    by: str,
    alike: float = 0.5,
) -> list[Option]:
    """The dense layer and the best fits at each share of its cost, with the error of the fit.

    At each share there is low rank, and whatever is better than that.

    Args:
        layer: The layer.
        weight: Its map.
        metric: Moments of its inputs.
        kind: ``"hierarchy"``, ``"tucker"`` or ``"low_rank"``.
        group_size: Most channels of a group.
        by: ``"parameters"`` or ``"macs"``.
        alike: One more share: what every layer may keep if all keep the same.
    """
    dense = {"parameters": layer.dense_parameters, "macs": layer.dense_macs}

    def costs(grids: LinearGrids) -> dict[str, int]:
        return {"parameters": grids.parameters(), "macs": layer.macs(grids)}

    def tried(share: float, forms: Iterable[Form]) -> list[Option]:
        made = ((f, widest(layer, f, lambda g: costs(g)[by], share * dense[by])) for f in forms)
        found = [
            Option(grids, costs(grids), fit(weight, metric, grids, _ROUNDS).error ** 2, form)
            for form, grids in made
            if grids is not None
        ]
        return sorted(found, key=lambda option: option.loss)

    def forms(options: Sequence[Option]) -> list[Form]:
        return [option.form for option in options[:_KEPT] if option.form]

    kept: list[Form] = []
    for share in (_TRIED, alike):
        without = tried(share, coarse_forms(layer, kind, group_size))
        kept += (near := forms(without))
        if kind == "hierarchy":
            relaxed = tried(share, relaxed_forms(near or [LOW_RANK], group_size))
            kept += forms(sorted([*without, *relaxed], key=lambda option: option.loss))
    found = [Option(None, dense)]
    for share in sorted({*SHARES, alike}, reverse=True):
        best = tried(share, dict.fromkeys([*kept, LOW_RANK]))
        plain = [option for option in best if option.form == LOW_RANK]
        bare = [option for option in best if option.form and not option.form.is_relaxed]
        found += [o for o in best if any(o is one for one in (*best[:1], *bare[:1], *plain))]
    return found
