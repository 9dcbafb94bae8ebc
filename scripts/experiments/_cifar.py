"""The recipe of Tables 3 and 12: ResNet-56 and its forms on CIFAR-10."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mgic_geo.training import TrainConfig

from ._experiment import Context
from ._training import FAST, load_recipe

METRICS = {"accuracy": "accuracy"}
COLUMNS = {
    "parameters": ("parameters", "count"),
    "macs": ("MACs", "count"),
    "accuracy": ("top-1, %", ".2f"),
}


def recipe(
    context: Context, model: str, options: Mapping[str, Any], steps: int | None = None
) -> TrainConfig:
    """``configs/cifar10.yaml``, for 3 epochs, or for all of its 200.

    Args:
        context: The experiment.
        model: In the registry.
        options: Of the model.
        steps: Of the short budget, in one epoch and by AdamW instead.
    """
    config = load_recipe(context, "cifar10", model=model, model_options=dict(options))
    if not context.full:
        config = dataclasses.replace(config, epochs=3)
        if steps is not None:
            config = dataclasses.replace(config, epochs=1, steps_per_epoch=steps, **FAST)
    if context.quick:
        config = dataclasses.replace(config, epochs=1, steps_per_epoch=2, batch_size=8)
    return config
