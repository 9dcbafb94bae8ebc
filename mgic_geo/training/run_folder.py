"""The files of a training run."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mgic_geo.errors import CheckpointError
from mgic_geo.io import atomic_write, remove_leftovers
from mgic_geo.training.config import TrainConfig

# What may differ when a run goes on: where and how, but nothing that changes its result.
_FREE = {"resume", "out", "root", "stop_after", "compile", "workers"}


class RunFolder:
    """``config.yaml``, ``metrics.csv``, ``last`` and ``best`` weights, and the state to go on from.

    ``state.pt`` alone is the checkpoint: it holds all of an epoch, is replaced in one step and
    comes first. The other files follow from it, and are written again by a run that is resumed; so
    wherever a run is stopped, or finds the disk full, it goes on from one whole epoch.

    Args:
        config: The run.

    Raises:
        CheckpointError: The folder holds a run already and ``resume`` is off, or holds another run.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.path = config.folder
        self.config = config
        if self.state_path.exists():
            if not config.resume:
                raise CheckpointError(
                    f"{self.path} holds a run already: add --resume true to go on with it, "
                    "or choose another folder with --out"
                )
        elif config.resume and not self.path.exists():
            raise CheckpointError(f"{self.path}: there is no run to resume")

    @property
    def state_path(self) -> Path:
        return self.path / "state.pt"

    def start(self) -> None:
        """Makes the folder, removes what a killed run left in it and writes the config."""
        remove_leftovers(self.path)
        self.config.save(self.path / "config.yaml")

    def load_state(self) -> dict[str, Any] | None:
        """The state of the last complete epoch, None for a fresh run.

        Raises:
            CheckpointError: The state is damaged or of a run with another config.
        """
        if not self.state_path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(
                self.state_path, weights_only=True, map_location="cpu"
            )
        except Exception as error:
            reason = str(error).partition("\n")[0][:200]  # torch explains itself at length
            raise CheckpointError(f"{self.state_path}: damaged ({reason})") from error
        mine = _fixed(dataclasses.asdict(self.config))
        theirs = _fixed(_completed(state["config"], dataclasses.asdict(TrainConfig())))
        for name in mine:
            if mine[name] != theirs[name]:
                raise CheckpointError(
                    f"{self.path} holds a run with {name} = {theirs[name]}, not {mine[name]}: "
                    "resume it with its own config, or choose another folder with --out"
                )
        if "model" not in state:
            raise CheckpointError(
                f"{self.state_path}: of an older version, which kept the weights in another file; "
                "whether both are of one epoch is unknown, so train anew in another folder"
            )
        return state

    def save_state(self, **state: Any) -> None:
        """Writes what :meth:`load_state` returns."""
        with atomic_write(self.state_path, "wb") as file:
            torch.save({"config": dataclasses.asdict(self.config), **state}, file)

    def write_metrics(self, rows: list[dict[str, float]], columns: Sequence[str]) -> None:
        """Writes ``metrics.csv``, one row an epoch; a column that a row lacks stays empty."""
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(self.path / "metrics.csv", "w") as file:
            file.write(text.getvalue())

    def write_result(self, result: dict[str, Any]) -> None:
        """Writes ``result.json``."""
        with atomic_write(self.path / "result.json", "w") as file:
            json.dump(result, file, indent=2)
            file.write("\n")


def _fixed(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in _FREE}


def _completed(config: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """A config as it was before some options existed: it ran as if they had their defaults."""
    found = {**defaults, **config}
    for name, value in defaults.items():
        if isinstance(value, dict):
            found[name] = {**value, **found[name]}
    return found
