"""``results/README.md``, made from the rows alone."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mgic_geo.io import atomic_write
from scripts.compress_zoo._table import read_zoo, zoo_section

from ._list import load
from ._rows import Row, read_rows

if TYPE_CHECKING:
    from ._experiment import Experiment

_HEAD = """
Made by `python -m scripts.experiments` from the CSV files beside it, in which each number stands
with its seed, command, commit, versions and device; do not edit. *Paper* is what the paper prints,
and stands in no column of ours. A number of several seeds is their mean ± standard deviation.
Accuracies are of validation parts of the training data; test splits were not looked at.
"""
_BUDGETS = ("full", "short", "quick")  # the best that there is is shown
_SIZES = {"parameters": ("parameters", ",.0f"), "macs": ("MACs", "count")}
_UNITS = ((1e9, "B"), (1e6, "M"), (1e3, "K"))


def write_report(out: Path) -> Path:
    """Writes the report of the rows in a folder, and the pictures that are made of rows alone."""
    if find_spec("matplotlib"):
        _draw(out)
    target = out / "README.md"
    with atomic_write(target, "w", encoding="utf-8") as file:
        file.write(report(out))
    return target


def _draw(out: Path) -> None:
    from mgic_geo.viz._figure import save_figure

    for experiment in load():
        rows = read_rows(out / f"{experiment.name}.csv")
        if experiment.draw and rows:
            save_figure(experiment.draw(rows), out / experiment.pictures[0], dpi=110)


def report(out: Path) -> str:
    """The text of the report."""
    parts = [f"# Results\n\n{_paragraph(_HEAD)}\n"]
    for experiment in load():
        rows = read_rows(out / f"{experiment.name}.csv")
        if rows:
            parts.append(_section(experiment, rows, out))
    if zoo := read_zoo(out / "compress_zoo.csv"):
        parts.append(zoo_section(zoo))
    return "\n".join(parts)


def _section(experiment: Experiment, rows: Sequence[Row], out: Path) -> str:
    lines = [f"## {experiment.title}", "", _paragraph(experiment.about), ""]
    lines += [_line(cells) for cells in _table(experiment, rows)]
    program = f"python -m scripts.experiments.{experiment.name}"
    lines += ["", f"`{program}`, rows in [`{experiment.name}.csv`]({experiment.name}.csv)."]
    for picture in experiment.pictures:
        if (out / picture).exists():
            lines += ["", f"![{experiment.title}]({picture})"]
    return "\n".join([*lines, ""])


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 125, break_on_hyphens=False)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(experiment: Experiment, rows: Sequence[Row]) -> list[list[str]]:
    """Head, rule and body; a column that nothing fills is left out."""
    names = list(dict.fromkeys(row["row"] for row in rows))
    columns = [[experiment.paper or "row", *names]]
    for size, (heading, form) in _SIZES.items():
        if size not in experiment.columns:
            found = [_first(row[size] for row in rows if row["row"] == name) for name in names]
            columns.append([heading, *(_number(cell, form) for cell in found)])
    for metric, (heading, form) in experiment.columns.items():
        ours, paper = [heading], ["paper"]
        for name in names:
            own = [r for r in rows if r["row"] == name and r["metric"] == metric]
            # A size that the paper does not print stands in the column of sizes alone.
            sizes = [r[metric] for r in rows if r["row"] == name and metric in _SIZES and r[metric]]
            ours.append(_mean([r["ours"] for r in _best(own)] or sizes[:1], form))
            paper.append(_number(_first(r["paper"] for r in own), form))
        if not any(ours[1:]):  # nothing of ours stands beside it to name it
            paper[0] = f"{heading} (paper)"
        columns += [ours, paper]
    columns.append(["budget", *(_budget([r for r in rows if r["row"] == name]) for name in names)])
    columns = [column for column in columns if any(column[1:])]
    return [
        [column[0] for column in columns],
        ["---"] * len(columns),
        *([column[i] for column in columns] for i in range(1, len(names) + 1)),
    ]


def _best(rows: Sequence[Row]) -> list[Row]:
    """Those of the longest budget."""
    for budget in _BUDGETS:
        if found := [row for row in rows if row["budget"] == budget and row["ours"]]:
            return found
    return []


def _budget(rows: Sequence[Row]) -> str:
    best = [row for row in _best(rows) if row["epochs"]]
    if not best:
        return ""
    epochs = " or ".join(sorted({row["epochs"] for row in best}, key=int))
    seeds = len({row["seed"] for row in best})
    return f"{epochs} epoch{'s' * (epochs != '1')}, {seeds} seed{'s' * (seeds > 1)}"


def _first(cells: Iterable[str]) -> str:
    return next(filter(None, cells), "")


def _number(cell: str, form: str) -> str:
    if not cell:
        return ""
    if form != "count":
        return format(float(cell), form)
    for size, unit in _UNITS:
        if float(cell) >= size:
            return f"{float(cell) / size:.4g}{unit}"
    return f"{float(cell):.0f}"


def _mean(cells: Sequence[str], form: str) -> str:
    values = [float(cell) for cell in cells]
    if len(set(values)) < 2:
        return _number(cells[0], form) if cells else ""
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    return f"{format(mean, form)} ± {format(deviation, form)}"
