"""The forms that a layer can take, what they cost, and which are taken under a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from mgic_geo.compress._find import Layer
from mgic_geo.compress._fit import fit
from mgic_geo.compress._metric import Metric
from mgic_geo.errors import MgicGeoError
from mgic_geo.nn.linear_grids import LinearGrids, two_grids

SHARES = (0.75, 0.5, 0.35, 0.25, 0.18, 0.125, 0.09, 0.0625, 0.04)
"""Shares of a layer's cost that are tried."""
_TRIED = 0.18  # the share at which all forms are compared
_ROUNDS = 2
_KEPT = 2  # forms that are followed through all shares

Cost = Callable[[LinearGrids], int]


@dataclass(frozen=True)
class Option:
    """A form of one layer.

    Args:
        grids: None for the dense layer.
        costs: By name, ``"parameters"`` and ``"macs"``.
        loss: What it costs in the outputs of the network.
    """

    grids: LinearGrids | None
    costs: Mapping[str, int]
    loss: float = 0.0


Shape = tuple[
    int, int, bool
]  # outputs and inputs of a group, and whether the coarse grid has a map


def shapes(layer: Layer, group_size: int) -> list[Shape]:
    """Forms without their rank; one without a relaxation among them, or only low rank for 0."""
    if group_size == 0:
        return [(0, 0, False)]
    cores = (False, True) if layer.weight_shape[2] > 1 else (False,)
    groups = [(0, 0), (max(group_size // 2, 1), group_size), (group_size, group_size)]
    return [(out, size, core) for out, size in dict.fromkeys(groups) for core in cores]


def widest(layer: Layer, shape: Shape, cost: Cost, budget: float) -> LinearGrids | None:
    """The grids of this form with the widest coarse grid that the budget allows, None for none."""
    m, n, taps = layer.weight_shape
    out, size, core = shape

    def grids(rank: int) -> LinearGrids:
        return two_grids(n, m, out, rank, taps, core, size or None)

    low, high = 0, min(m, n if core else n * taps)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if cost(grids(middle)) <= budget else (low, middle - 1)
    return grids(low) if low > 0 else None


def layer_options(
    layer: Layer, weight: Tensor, metric: Metric, group_size: int, by: str
) -> list[Option]:
    """The dense layer and the best fit at each share of its cost, with the error of the fit."""
    dense = {"parameters": layer.dense_parameters, "macs": layer.dense_macs}

    def costs(grids: LinearGrids) -> dict[str, int]:
        return {"parameters": grids.parameters(), "macs": layer.macs(grids)}

    def tried(share: float, forms: Sequence[Shape]) -> list[tuple[float, LinearGrids, Shape]]:
        made = ((s, widest(layer, s, lambda g: costs(g)[by], share * dense[by])) for s in forms)
        return sorted(
            ((fit(weight, metric, g, _ROUNDS).error, g, s) for s, g in made if g is not None),
            key=lambda one: one[0],
        )

    forms = [shape for _, _, shape in tried(_TRIED, shapes(layer, group_size))[:_KEPT]]
    forms = list(dict.fromkeys([*forms, *shapes(layer, group_size)[:2]]))
    found = [Option(None, dense)]
    for share in SHARES:
        if best := tried(share, forms):
            error, grids, _ = best[0]
            found.append(Option(grids, costs(grids), error**2))
    return found


def choose(
    options: Mapping[str, Sequence[Option]], rest: Mapping[str, int], target: Mapping[str, float]
) -> dict[str, Option]:
    """A form of each layer, so that every target is met at little loss.

    Greedy: from the dense network on, the step is taken that loses least for what it saves; at the
    end layers go back as far as the targets leave room.

    Args:
        options: The forms of each layer, the dense one first.
        rest: What the rest of the network costs.
        target: Shares of the whole network's cost.

    Raises:
        MgicGeoError: The targets cannot be met; the message has the smallest share.
    """
    whole = {by: rest[by] + sum(of[0].costs[by] for of in options.values()) for by in target}
    for by, share in target.items():
        least = rest[by] + sum(min(o.costs[by] for o in of) for of in options.values())
        if least > share * whole[by]:
            raise MgicGeoError(
                f"target {by} = {share:g} cannot be met: the smallest possible is "
                f"{_up(least / whole[by])} (what is not replaced has {rest[by] / whole[by]:.3f})"
            )
    chosen = {name: of[0] for name, of in options.items()}

    def excess() -> dict[str, float]:
        spent = {by: rest[by] + sum(o.costs[by] for o in chosen.values()) for by in target}
        return {by: spent[by] / whole[by] - target[by] for by in target}

    while max((left := excess()).values()) > 0.0:
        best: tuple[float, str, Option] | None = None
        for name, of in options.items():
            now = chosen[name]
            for option in of:
                saved = sum(
                    max(0.0, now.costs[by] - option.costs[by]) / whole[by]
                    for by in target
                    if left[by] > 0.0
                )
                if saved > 0.0:
                    price = (option.loss - now.loss) / saved
                    if best is None or price < best[0]:
                        best = (price, name, option)
        assert best is not None  # the smallest forms meet the target
        chosen[best[1]] = best[2]
    _return(options, chosen, excess, whole)
    return chosen


def _return(
    options: Mapping[str, Sequence[Option]],
    chosen: dict[str, Option],
    excess: Callable[[], dict[str, float]],
    whole: Mapping[str, int],
) -> None:
    """Takes back what the last steps saved beyond the targets, best first."""
    while True:
        left = excess()
        better = [
            (now.loss - option.loss, name, option)
            for name, of in options.items()
            for option in of
            if option.loss < (now := chosen[name]).loss
            and all(left[by] + (option.costs[by] - now.costs[by]) / whole[by] <= 0.0 for by in left)
        ]
        if not better:
            return
        _, name, option = max(better, key=lambda one: one[0])
        chosen[name] = option


def _up(share: float) -> str:
    """Three digits, rounded up, so that the number itself can be met."""
    return f"{-(-share * 1000 // 1) / 1000:.3f}"
