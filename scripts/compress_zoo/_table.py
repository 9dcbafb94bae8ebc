"""The networks of the zoo as a part of ``results/README.md``."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

_HEAD = """## Does `compress` take it?

Beyond the paper. Networks of other packages, small and with random weights: compressed, forward and
backward, state and copies, counts as predicted, exported by torch where the original is. *left*
layers stay as they are, for the reasons that follow; *original* networks do not run here by
themselves.
"""
_FOOT = """
`python -m scripts.compress_zoo`, rows in [`compress_zoo.csv`](compress_zoo.csv).
"""


def read_zoo(path: Path) -> list[dict[str, str]]:
    """The rows of a file, none if it is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: value or "" for key, value in row.items()} for row in csv.DictReader(file)]


def zoo_section(rows: Sequence[Mapping[str, str]]) -> str:
    """The table, as Markdown."""
    counts = Counter(row["result"] for row in rows)
    said = ", ".join(f"{count} {result}" for result, count in counts.most_common())
    lines = [
        "| network | result | replaced | left | parameters | now | MACs | now | export | s | why |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            f"{row['package']} {row['network']}", row["result"], row["replaced"], row["left"],
            *(_number(row[key]) for key in _SIZES), row["export"], row["cpu_seconds"],
            row["why"].replace("|", "/"),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    said = f"{len(rows)} networks: {said}. Seconds are of one core."
    return "\n".join([_HEAD, said, "", *lines, _FOOT])


_SIZES = ("parameters", "parameters_after", "macs", "macs_after")


def _number(cell: str) -> str:
    return f"{int(cell):,}" if cell else ""
