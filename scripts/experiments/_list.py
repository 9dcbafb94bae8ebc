"""The experiments, in the order of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ._experiment import Experiment

NAMES = (
    "table_01",
    "table_02",
    "table_03",
    "table_05",
    "table_07",
    "table_08",
    "table_09",
    "table_11",
    "table_12",
    "recipe",
    "pyramids",
    "corruptions",
    "fine_tune",
    "segmentation",
    "image_trials",
    "cifar10",
    "width",
    "coupling",
    "compress",
    "compress_fit",
)


def load(names: Sequence[str] = NAMES) -> list[Experiment]:
    """The experiments of these names."""
    modules = [import_module(f"{__package__}.{name}") for name in names]
    return [cast("Experiment", module.EXPERIMENT) for module in modules]
