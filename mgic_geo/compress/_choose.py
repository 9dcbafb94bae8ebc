"""Which of its forms each layer takes under a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mgic_geo.compress._options import Option
from mgic_geo.errors import MgicGeoError


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
