"""What all experiments share: their description, and the rows of one run of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from mgic_geo.io import file_lock
from mgic_geo.training import provenance

from ._rows import COLUMNS, Row, as_text, read_rows, write_rows


@dataclass(frozen=True)
class Experiment:
    """One table or figure.

    Args:
        name: Its program, ``table_01``.
        title: Heading in ``results/README.md``.
        about: What was run, and where and why it differs from the paper.
        run: Runs it.
        columns: Metrics in the order of the report, with the heading of their column and its
            format, such as ``{"accuracy": ("accuracy, %", ".2f")}``.
        pictures: Files in ``results/`` that the report shows.
        paper: Where the paper has it; empty beyond the paper.
        draw: Makes the first picture from the rows alone, whenever the report is written.
    """

    name: str
    title: str
    about: str
    run: Callable[[Context], None]
    columns: Mapping[str, tuple[str, str]]
    pictures: tuple[str, ...] = ()
    paper: str = ""
    draw: Callable[[Sequence[Row]], Any] | None = None


@dataclass
class Context:
    """The options of a program, and where its rows go.

    Args:
        experiment: What is run.
        full: The paper's schedule instead of a short one.
        quick: Sizes that say nothing, to see that all parts work.
        only: Patterns of the rows that are wanted; all if empty.
        seeds: Number of seeds; by default what the experiment asks for.
        sources: Where data sets lie that are not in ``datasets/``, by name.
        out: Folder of rows, pictures and the report.
        runs: Folder of training runs.
    """

    experiment: Experiment
    full: bool = False
    quick: bool = False
    only: Sequence[str] = ()
    seeds: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    out: Path = Path("results")
    runs: Path = Path("runs/experiments")

    @property
    def budget(self) -> str:
        return "quick" if self.quick else "full" if self.full else "short"

    @property
    def path(self) -> Path:
        """The file of rows."""
        return self.out / f"{self.experiment.name}.csv"

    @cached_property
    def facts(self) -> dict[str, str]:
        """Commit, versions, device and date."""
        return provenance()

    def wants(self, row: str) -> bool:
        """Whether a row was asked for."""
        return not self.only or any(fnmatch(row, pattern) for pattern in self.only)

    def seeds_of(self, default: int) -> range:
        """The seeds of a row."""
        return range(1 if self.quick else default if self.seeds is None else self.seeds)

    def has(self, row: str, metric: str, seed: int | str = "") -> bool:
        """Whether there is a number already, by this budget."""
        key = (row, metric, self.budget, str(seed))
        return any(
            (r["row"], r["metric"], r["budget"], r["seed"]) == key for r in read_rows(self.path)
        )

    def record(
        self,
        row: str,
        metrics: Mapping[str, float | None],
        paper: Mapping[str, float] | None = None,
        **facts: Any,
    ) -> None:
        """Writes what a row has given, a number a metric, and shows it.

        Args:
            row: Name of the row.
            metrics: Our numbers; None where only the paper has one.
            paper: The paper's numbers.
            **facts: Further columns: ``parameters``, ``macs``, ``epochs``, ``seed``, ...
        """
        paper = paper or {}
        rows = []
        blank = dict.fromkeys(COLUMNS)
        for metric in dict.fromkeys([*metrics, *paper]):
            ours = metrics.get(metric)
            base = {} if ours is None else {**self.facts, "budget": self.budget, **facts}
            named = {"experiment": self.experiment.name, "row": row, "metric": metric}
            cells = {**blank, **base, **named, "ours": ours, "paper": paper.get(metric)}
            rows.append({name: as_text(value) for name, value in cells.items()})
            text = "" if ours is None else f"{ours:.6g}"
            theirs = f"   paper {paper[metric]:.6g}" if metric in paper else ""
            seed = f" seed {facts['seed']}" if "seed" in facts else ""
            print(f"{self.experiment.name}  {row}{seed}: {metric} {text}{theirs}", flush=True)
        with file_lock(self.runs / ".rows.lock"):  # several processes may share an experiment
            write_rows(self.path, rows)

    def picture(self, name: str) -> Path:
        """Where a picture goes."""
        return self.out / name
