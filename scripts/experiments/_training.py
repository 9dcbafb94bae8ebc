"""Training runs behind rows: resumed where they were cut, taken as they are when done."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mgic_geo.errors import DataError
from mgic_geo.io import file_lock
from mgic_geo.models import read_weights_info
from mgic_geo.profiling import profile_model_by_name
from mgic_geo.training import TrainConfig, train

from ._experiment import Context

FAST: dict[str, Any] = {"optimizer": "adamw", "lr": 2e-3}
"""What learns most in a few hundred steps of images, where SGD is not yet warm."""

_CONFIGS = Path(__file__).parents[2] / "configs"
# What a run may have otherwise: where its data were, and how many processes shared it.
_FREE = ("resume", "out", "root", "source", "val_data", "workers", "batch_size")


def load_recipe(context: Context, data: str, /, **changes: Any) -> TrainConfig:
    """The recipe of a data set, ``configs/<data>.yaml``, on the data that the user names.

    Args:
        context: The experiment.
        data: The recipe.
        **changes: Options that differ from it.
    """
    source = context.sources.get(data)
    return TrainConfig.load(_CONFIGS / f"{data}.yaml", **{"source": source, **changes})


def run_folder(context: Context, row: str, seed: int) -> Path:
    """Where the run of a row and seed lies."""
    name = re.sub(r"[^A-Za-z0-9.=]+", "_", row).strip("_")
    return context.runs / context.experiment.name / f"{name}-{context.budget}-s{seed}"


@contextlib.contextmanager
def claimed(context: Context, row: str, seed: int) -> Iterator[bool]:
    """Whether the run of a row is ours: another process that is at it keeps it, and we say so."""
    folder = run_folder(context, row, seed)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder.with_name(f"{folder.name}.lock"), timeout=0.0))
        except DataError:
            print(
                f"{context.experiment.name}  {row} seed {seed}: another process is at it",
                flush=True,
            )
            yield False
            return
        yield True


def run_to_end(folder: Path, config: TrainConfig, splits: Any = None) -> dict[str, Any]:
    """What the run in a folder has ended with; trained, or taken up where it was cut, before."""
    done = folder / "result.json"
    if not done.exists():
        resume = (folder / "state.pt").exists()
        train(dataclasses.replace(config, out=str(folder), resume=resume), splits)
    result: dict[str, Any] = json.loads(done.read_text("utf-8"))
    return result


def train_row(
    context: Context,
    row: str,
    config: TrainConfig,
    seed: int,
    metrics: Mapping[str, str],
    paper: Mapping[str, float] | None = None,
) -> None:
    """Trains a row by one seed, or takes the run that is there, and records it in percent.

    A row that is there already, from a run on another machine, stays; to repeat it, remove it.

    Args:
        context: The experiment.
        row: Name of the row.
        config: The run.
        seed: Its seed.
        metrics: Our metrics by their names in ``result.json``, of the validation part.
        paper: The paper's numbers by our metrics.
    """
    folder = run_folder(context, row, seed)
    if not folder.exists() and all(context.has(row, name, seed) for name in metrics.values()):
        print(f"{context.experiment.name}  {row} seed {seed}: is in {context.path}", flush=True)
        return
    config = dataclasses.replace(
        config, seed=seed, out=str(folder), resume=(folder / "state.pt").exists()
    )
    result = _finished(config) or train(config).summary
    info = read_weights_info(folder / "best.safetensors")
    options = {**info.model_args, "num_classes": len(info.classes)}
    layers = profile_model_by_name(info.model, options, info.num_points, info.image_size)
    found = result["validation"]
    sizes = {"parameters": result["parameters"], "macs": sum(layer.macs for layer in layers)}
    # The paper's sizes stand beside ours.
    numbers = {name: float(value) for name, value in sizes.items() if name in (paper or {})}
    context.record(
        row,
        {**numbers, **{ours: 100.0 * found[theirs] for theirs, ours in metrics.items()}},
        paper,
        **sizes,
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
        stored = dataclasses.asdict(TrainConfig.load(config.folder / "config.yaml"))
        result: dict[str, Any] = json.loads((config.folder / "result.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    mine = dataclasses.asdict(config)
    same = all(stored[name] == mine[name] for name in mine if name not in _FREE)
    return result if same and result.get("epochs") == config.last_epoch else None
