"""Turns the results of training runs into rows of a CSV file.

    python scripts/collect_results.py runs/first runs/second --out results/modelnet10.csv

A row that is there already, of the same model, seed, commit and command, is replaced.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mgic_geo.errors import DataError
from mgic_geo.io import atomic_write
from mgic_geo.models import read_weights_info
from mgic_geo.models.registry import CLOUD_DATA
from mgic_geo.profiling import profile_model_by_name

# What no row of a file has is left out of it.
COLUMNS = (
    "model",
    "data",
    "input",
    "parameters",
    "macs",
    "epochs",
    "chosen_epoch",
    "seed",
    "validation_accuracy",
    "validation_top5_accuracy",
    "validation_mean_class_accuracy",
    "validation_mean_iou",
    "epoch_seconds",
    "command",
    "commit",
    "versions",
    "device",
    "date",
)
KEY = ("model", "seed", "commit", "command")


def read_run(folder: Path) -> dict[str, str]:
    """One row: what ``result.json`` says, and the MACs of the model for one cloud or image."""
    try:
        result = json.loads((folder / "result.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder}: no readable result.json, has the run ended? ({error})"
        ) from error
    info = read_weights_info(folder / "best.safetensors")
    options = {**info.model_args, "num_classes": len(info.classes)}
    layers = profile_model_by_name(info.model, options, info.num_points, info.image_size)
    size = {"data": "", "input": f"{info.num_points} points"}
    if info.data != "clouds":
        size["data"] = result["data"]
    if info.data not in CLOUD_DATA:
        size["input"] = f"{info.image_size} x {info.image_size}"
    row: dict[str, Any] = {**result, **size, "macs": sum(layer.macs for layer in layers)}
    for name, value in result.get("validation", {}).items():
        row[f"validation_{name}"] = value
    return {name: str(row.get(name, "")) for name in COLUMNS}


def merge(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Adds rows to a CSV file, in a fixed order."""
    old: list[dict[str, str]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            old = list(csv.DictReader(file))
    merged = {tuple(row.get(name, "") for name in KEY): row for row in [*old, *rows]}
    columns = [name for name in COLUMNS if any(row.get(name) for row in merged.values())]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(merged[key] for key in sorted(merged))
    with atomic_write(path, "w", encoding="utf-8") as out:
        out.write(text.getvalue())


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("--out", type=Path, default=Path("results/modelnet10.csv"))
    args = parser.parse_args(argv)
    try:
        merge(args.out, [read_run(folder) for folder in args.runs])
    except (ValueError, OSError) as error:
        print(f"collect_results: {error}", file=sys.stderr)
        return 1
    print(f"{len(args.runs)} rows are in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
