"""What models cost at their default options, without building them."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import NamedTuple

from mgic_geo.profiling import profile_model_by_name


class Cost(NamedTuple):
    """Size and work of a model.

    Args:
        parameters: Learned numbers.
        macs: Multiply-accumulates of products with learned weights, for one cloud of 1,024 points
            or one image in the size that the model is made for.
    """

    parameters: int
    macs: int


def model_cost(name: str) -> Cost:
    """The cost of a registered model at its default options.

    Those of this package were counted once, by ``scripts/count_models.py``; any other is counted
    now, as :func:`mgic_geo.profiling.profile_model_by_name` counts.

    >>> model_cost("mgic_diffgcn").parameters
    65002
    """
    if name in _counted():
        return Cost(*_counted()[name])
    return count_cost(name)


def count_cost(name: str) -> Cost:
    """:func:`model_cost`, counted now."""
    layers = profile_model_by_name(name)
    return Cost(sum(layer.parameters for layer in layers), sum(layer.macs for layer in layers))


@functools.cache
def _counted() -> dict[str, list[int]]:
    text = (files("mgic_geo") / "costs.json").read_text(encoding="utf-8")
    counted: dict[str, list[int]] = json.loads(text)
    return counted
