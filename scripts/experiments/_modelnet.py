"""The recipe of the point-cloud experiments, ModelNet-10."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo.training import TrainConfig
from scripts.benchmarks.classifier import training_step

from ._experiment import Context
from ._steps import record_steps
from ._training import load_recipe

METRICS = {"mean_class_accuracy": "class_accuracy", "accuracy": "accuracy"}
COLUMNS = {
    "parameters": ("parameters", "count"),
    "macs": ("MACs", "count"),
    "class_accuracy": ("mean class accuracy, %", ".2f"),
    "accuracy": ("accuracy, %", ".2f"),
    "step": ("ms a step", ".0f"),
}


def recipe(context: Context, model: str | None = None, **options: Any) -> TrainConfig:
    """``configs/modelnet10.yaml``, for 16 epochs or for all of its 60.

    Args:
        context: The experiment.
        model: In the registry; not given where ``weights`` say it.
        **options: Fields of the config that differ.
    """
    if model is not None:
        options["model"] = model
    if not context.full:
        options = {"epochs": 16, **options}
    if context.quick:
        options |= {"epochs": 1, "steps_per_epoch": 2, "num_points": 64, "batch_size": 8}
    return load_recipe(context, "modelnet10", **options)


def time_steps(context: Context, models: Mapping[str, nn.Module], pos: Tensor) -> None:
    """Times a training step of all networks in turn, and records the medians.

    Args:
        context: The experiment.
        models: The networks by the names of their rows.
        pos: Clouds ``[B, n, 3]``.
    """
    label = torch.arange(len(pos)) % 10
    runs = {
        name: training_step(model, pos, label, prepared=False) for name, model in models.items()
    }
    record_steps(context, runs, f"{len(pos)} clouds of {pos.size(1)} points")
