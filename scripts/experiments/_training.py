"""Training runs behind rows: resumed where they were cut, taken as they are when done."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import yaml

from mgic_geo.models import read_weights_info
from mgic_geo.profiling import profile_model_by_name
from mgic_geo.training import TrainConfig, train

from ._experiment import Context


def train_row(
    context: Context,
    row: str,
    config: TrainConfig,
    seed: int,
    metrics: dict[str, str],
    paper: dict[str, float] | None = None,
) -> None:
    """Trains a row by one seed, or takes the run that is there, and records it in percent.

    Args:
        context: The experiment.
        row: Name of the row.
        config: The run.
        seed: Its seed.
        metrics: Our metrics by their names in ``result.json``, of the validation part.
        paper: The paper's numbers by our metrics.
    """
    folder = context.runs / context.experiment.name / f"{row}-{context.budget}-s{seed}"
    config = dataclasses.replace(
        config, seed=seed, out=str(folder), resume=(folder / "state.pt").exists()
    )
    result = _finished(config) or train(config).summary
    info = read_weights_info(folder / "best.safetensors")
    options = {**info.model_args, "num_classes": len(info.classes)}
    layers = profile_model_by_name(info.model, options, info.num_points, info.image_size)
    found = result["validation"]
    context.record(
        row,
        {ours: 100.0 * found[theirs] for theirs, ours in metrics.items()},
        paper,
        parameters=result["parameters"],
        macs=sum(layer.macs for layer in layers),
        epochs=result["epochs"],
        seed=seed,
        seconds=result["epoch_seconds"] * result["epochs"],
        note=f"epoch {result['chosen_epoch']} chosen",
        **{name: result[name] for name in ("command", "commit", "versions", "device", "date")},
    )


def _finished(config: TrainConfig) -> dict[str, Any] | None:
    """What the run has ended with, None if it has not ended or was another.

    ``train`` itself would evaluate it once more, and name today's commit.
    """
    try:
        stored = yaml.safe_load((config.folder / "config.yaml").read_text("utf-8"))
        result: dict[str, Any] = json.loads((config.folder / "result.json").read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    mine = {**dataclasses.asdict(config), "resume": stored.get("resume")}
    same = all(stored.get(name) == value for name, value in mine.items())
    return result if same and result.get("epochs") == config.last_epoch else None
