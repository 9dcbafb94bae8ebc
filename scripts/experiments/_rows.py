"""Result rows of an experiment, one number each, kept in a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mgic_geo.io import atomic_write

COLUMNS = (
    "experiment",
    "row",
    "metric",
    "ours",
    "paper",
    "parameters",
    "macs",
    "budget",  # quick, short or full
    "epochs",
    "seed",
    "seconds",  # of the run that gave the number
    "note",
    "command",
    "commit",
    "versions",
    "device",
    "date",
)
KEY = ("row", "metric", "budget", "seed")
Row = dict[str, str]


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, none if it is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: row.get(name) or "" for name in COLUMNS} for row in csv.DictReader(file)]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Adds rows to a file; one of the same row, metric, budget and seed takes the old one's place.

    Args:
        path: The file.
        rows: The new rows.
    """
    merged = {tuple(row[name] for name in KEY): row for row in [*read_rows(path), *rows]}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(merged.values())
    with atomic_write(path, "w", encoding="utf-8") as file:
        file.write(text.getvalue())


def as_text(value: object) -> str:
    """A cell: six digits of a float, all of a whole one, nothing for None."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"
