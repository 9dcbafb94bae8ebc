"""Rows of measurements: taken, kept and written one by one."""

from __future__ import annotations

import csv
import gc
import io
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from mgic_geo.errors import DataError
from mgic_geo.io import atomic_write
from mgic_geo.training import provenance

from ._timing import Run, Timing, fit_exponent, interleave

COLUMNS = (
    "family",
    "case",
    "peer",
    "width",
    "nodes",
    "group_size",
    "coarsest",
    "seconds",  # the median
    "q1",
    "q3",
    "repeats",
    "peak_mib",
    "gmacs",  # 10^9 multiply-accumulates a second
    "gbs",  # 10^9 bytes a second
    "ratio",  # how many times faster than the reference
    "reference",
    "exponent",
    "difference",  # the largest from the result of the peer that the note names
    "note",
    "device",  # cpu or cuda
    "device_name",
    "threads",
    "load",  # of the machine when the run began: what others were doing
    "commit",
    "versions",
    "date",
    "command",
)
Row = dict[str, str]


@dataclass(frozen=True)
class Peer:
    """One of the things that are compared.

    Args:
        name: Its name.
        build: Prepares it and returns what is timed.
        fields: Columns that describe it.
        macs: Multiply-accumulates of a run.
        traffic: Bytes that a run moves at least.
        difference: How far its result is from what it should be; asked before anything is timed.
        peak: MiB that a run needs; likewise.
    """

    name: str
    build: Callable[[], Run]
    fields: dict[str, Any] = field(default_factory=dict)
    macs: float | None = None
    traffic: float | None = None
    difference: Callable[[], float] | None = None
    peak: Callable[[Run], float] | None = None


class Bench:
    """Takes measurements and writes each to a CSV file at once.

    Args:
        path: The file; rows of other families or devices that are there already stay.
        families: The families that will be measured.
        devices: The devices that they will be measured on.
        quick: Tiny sizes and few repeats.
        command: The command, for the rows.

    Attributes:
        columns: Of the file.
    """

    columns: tuple[str, ...] = COLUMNS

    def __init__(
        self,
        path: Path,
        families: Sequence[str],
        devices: Sequence[str] = ("cpu",),
        quick: bool = False,
        command: str = "",
    ) -> None:
        self.path, self.quick = path, quick
        self.device = devices[0]
        self.facts: dict[str, Any] = {
            "command": command,
            "threads": torch.get_num_threads(),
            **_facts(),
        }
        kept = [
            row
            for row in (read_rows(path, self.columns) if path.exists() else [])
            if row["family"] not in families or row["device"] not in devices
        ]
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        with atomic_write(path, "w", encoding="utf-8") as file:
            file.write(text.getvalue())
        self.rows: list[Row] = []

    @property
    def rounds(self) -> tuple[int, int]:
        return (2, 2) if self.quick else (5, 40)

    def record(self, **values: Any) -> None:
        """Writes a row and shows it."""
        facts = {**self.facts, "device": self.device, "device_name": _device_name(self.device)}
        row = {name: _text({**facts, **values}.get(name, "")) for name in self.columns}
        unknown = set(values) - set(self.columns)
        assert not unknown, f"no such columns: {unknown}"
        self.rows.append(row)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)
        print(_line(row), flush=True)

    @contextmanager
    def guarded(self, **values: Any) -> Iterator[None]:
        """Turns an exception into a row that says so."""
        try:
            yield
        except Exception as error:  # whatever a peer does, the others are measured
            self.record(**{**values, "note": failure(error)})

    def compare(
        self,
        family: str,
        case: str,
        peers: Sequence[Peer],
        reference: str | Sequence[str] = (),
        seconds: float = 8.0,
        rounds: tuple[int, int] | None = None,
        **fields: Any,
    ) -> dict[str, Timing]:
        """Times peers in turn and writes a row for each, failed or not.

        Args:
            family: The family.
            case: What is timed.
            peers: The peers, in the order of their turns.
            reference: Whom they are compared with; of several, with the fastest.
            seconds: Rough time for all.
            rounds: Smallest and largest number of rounds.
            **fields: Columns that all rows share.

        Returns:
            What could be timed.
        """
        runs: dict[str, Run] = {}
        extra: dict[str, dict[str, Any]] = {}
        for peer in peers:
            extra[peer.name] = {**fields, **peer.fields, "family": family, "case": case}
            with self.guarded(**extra[peer.name], peer=peer.name):
                run = peer.build()
                if peer.difference is not None:
                    extra[peer.name]["difference"] = peer.difference()
                if peer.peak is not None:
                    extra[peer.name]["peak_mib"] = peer.peak(run)
                runs[peer.name] = run
        if not self.quick:
            gc.collect()  # models of earlier cases; a good part of a second
        results = interleave(runs, rounds or self.rounds, 0.0 if self.quick else seconds)
        timings = {name: t for name, t in results.items() if isinstance(t, Timing)}
        names = [reference] if isinstance(reference, str) else reference
        best = min(
            (name for name in names if name in timings),
            key=lambda name: timings[name].median,
            default=None,
        )
        for peer in peers:
            result = results.get(peer.name)
            values = {**extra[peer.name], "peer": peer.name}
            if isinstance(result, Exception):
                self.record(**{**values, "note": failure(result)})
            elif isinstance(result, Timing):
                self.record(**values, **_measured(peer, result, timings, best))
        return timings

    def exponents(self, family: str, case: str, axis: str) -> None:
        """Fits seconds against an axis, for every peer with two sizes or more, and writes rows."""
        rows = [
            row
            for row in self.rows
            if (row["family"], row["case"], row["device"]) == (family, case, self.device)
            and row["seconds"]
        ]
        for peer in dict.fromkeys(row["peer"] for row in rows):
            own = [row for row in rows if row["peer"] == peer]
            x = [float(row[axis]) for row in own]
            if len(set(x)) < 2:
                continue
            self.record(
                family=family,
                case=case,
                peer=peer,
                group_size=own[-1]["group_size"],
                coarsest=own[-1]["coarsest"],
                exponent=fit_exponent(x, [float(row["seconds"]) for row in own]),
                note=f"fit of seconds against {axis}, {min(x):.0f} to {max(x):.0f}",
            )


def _measured(
    peer: Peer, timing: Timing, timings: dict[str, Timing], best: str | None
) -> dict[str, Any]:
    seconds = timing.median
    values: dict[str, Any] = {
        "seconds": seconds,
        "q1": timing.quartiles[0],
        "q3": timing.quartiles[1],
        "repeats": len(timing.times),
    }
    if peer.macs is not None:
        values["gmacs"] = peer.macs / seconds / 1e9
    if peer.traffic is not None:
        values["gbs"] = peer.traffic / seconds / 1e9
    if best is not None:
        values["ratio"] = timing.times_faster_than(timings[best])
        values["reference"] = best
    return values


def read_rows(path: Path, columns: Sequence[str] = COLUMNS) -> list[Row]:
    """The rows of a file that an earlier run may have written with fewer columns.

    Raises:
        DataError: It is no file of benchmarks.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not {"family", "device"} <= set(reader.fieldnames or ()):
            raise DataError(f"{path}: not a file of benchmarks; name another with --out")
        return [{name: row.get(name) or "" for name in columns} for row in reader]


def failure(error: BaseException) -> str:
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"failed: {type(error).__name__}: {first}"[:200]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _line(row: Row) -> str:
    size = " ".join(f"{key} {row[key]}" for key in ("width", "nodes") if row[key])
    head = f"{row['family']:<10} {row['case']:<28} {row['peer']:<30} {size:<24}"
    parts = []
    if row["seconds"]:
        spread = f" [{1e3 * float(row['q1']):.2f}, {1e3 * float(row['q3']):.2f}]" * bool(row["q1"])
        parts.append(f"{1e3 * float(row['seconds']):10.2f} ms{spread}")
    if row["ratio"]:
        parts.append(f"{float(row['ratio']):.2f} x {row['reference']}")
    for key, unit in (("peak_mib", "MiB"), ("gmacs", "GMAC/s"), ("gbs", "GB/s")):
        if row[key]:
            parts.append(f"{float(row[key]):.1f} {unit}")
    if row["exponent"]:
        parts.append(f"exponent {float(row['exponent']):.3f}")
    if row["difference"]:
        parts.append(f"difference {float(row['difference']):.1e}")
    return f"{head} {', '.join([*parts, *filter(None, [row['note']])])}"


def _facts() -> dict[str, str]:
    """Commit, date, versions and load."""
    facts = provenance()
    others = []
    for name in ("numpy", "scipy", "numba", "torch_scatter", "torch_cluster", "triton"):
        try:
            others.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            others.append(f"no {name}")
    versions = ", ".join([facts["versions"], *others])
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    facts = {name: facts[name] for name in ("commit", "date")}
    return {**facts, "versions": versions, "load": load}


def _device_name(device: str) -> str:
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return f"{os.cpu_count()} x {name}"
