from __future__ import annotations

import csv
import re
from pathlib import Path
from statistics import fmean, median, stdev

import pytest

from mgic_geo.hierarchy import ChannelHierarchy

README = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def _row(label: str) -> list[int]:
    line = next(line for line in README.splitlines() if line.startswith(f"| {label}"))
    return [int(cell.replace(",", "")) for cell in line.strip("| ").split(" | ")[1:]]


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_runs(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


def test_sizes() -> None:
    widths = _row("width")
    hierarchies = [ChannelHierarchy(width, group_size=8, coarsest=16) for width in widths]
    assert _row("weights of a dense") == [7 * width * width for width in widths]
    assert _row("with `MGIC`") == [hierarchy.parameters(7) for hierarchy in hierarchies]


def test_named_files_exist(repository: Path) -> None:
    linked = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    claimed = re.findall(r"`(tests/[\w/]+(?:\.py|/))`", README)
    assert linked
    assert claimed
    assert [name for name in linked + claimed if not (repository / name).exists()] == []


@pytest.mark.parametrize("row", ["DGCNN", "diffGCN", "MGIC-diffGCN"])
def test_results_are_those_of_the_runs(repository: Path, row: str) -> None:
    with open(repository / "results" / "table_11.csv", newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["row"] == row and r["ours"] and r["seed"]]
    accuracies, classes = (
        [float(r["ours"]) for r in rows if r["metric"] == metric]
        for metric in ("accuracy", "class_accuracy")
    )
    seconds = median(float(r["seconds"]) / int(r["epochs"]) for r in rows)
    line = (
        f"| `{row.lower().replace('-', '_')}` | {int(rows[0]['parameters']):,} "
        f"| {int(rows[0]['macs']) / 1e6:.1f}M "
        f"| {fmean(accuracies):.2f} ± {stdev(accuracies):.2f} % "
        f"| {fmean(classes):.2f} ± {stdev(classes):.2f} % | {len(classes)} | {seconds:.0f} |"
    )
    assert line in README


def test_counts_are_those_of_the_models(repository: Path) -> None:
    with open(repository / "results" / "counts.csv", newline="", encoding="utf-8") as file:
        rows = {(row["model"], row["options"]): row for row in csv.DictReader(file)}
    lines = re.findall(r"^\| `(mgic_\w+|lraspp_mgic\w+)` \((\d+), \d+\).*$", README, re.MULTILINE)
    assert len(lines) == 5
    for name, group_size in lines:
        options = "" if (name, "") in rows else f'{{"group_size": {group_size}}}'
        row = rows[name, options]
        line = next(line for line in README.splitlines() if line.startswith(f"| `{name}` ("))
        shown = [cell.strip("` ") for cell in line.strip("| ").split("|")][1:]
        for cells, counts in ((shown[:2], row), (shown[3:], rows[shown[2], ""])):
            for cell, column in zip(cells, ("parameters", "macs"), strict=True):
                number = float(cell.rstrip("M").replace(",", ""))
                assert abs(int(counts[column]) / 1e6 / number - 1) < 2e-3, (name, column)


def test_times_are_those_of_the_benchmarks(repository: Path) -> None:
    with open(repository / "results" / "benchmarks.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def find(column: str, **wanted: str) -> str:
        """In milliseconds, or the exponent."""
        found = [row[column] for row in rows if wanted.items() <= row.items() and row[column]]
        if not found:
            return ""
        if column == "exponent":
            return f"{float(found[-1]):.2f}"
        time = 1e3 * float(found[-1])
        return f"{time:.1f}" if time < 100 else f"{time:.0f}"

    shown = []
    for peer in ("dense, materialised", "dense", "MGIC (16, 64)", "MGIC (8, 16)"):
        case = {"case": "block, forward + backward", "peer": peer}
        cells = [find("seconds", **case, width=str(64 * 2**i)) for i in range(5)]
        shown.append(" | ".join([f"| {peer}", *cells, find("exponent", **case)]) + " |")
    for peer in ("PyG EdgeConv(MLP)", "PyG dgcnn", "dgcnn", "diffgcn", "mgic_diffgcn"):
        case = {"family": "classifier", "peer": peer}
        cells = [find("seconds", **case, case=c) for c in ("training step", "inference")]
        fused = find("seconds", case="inference, fused", peer=f"{peer}, fused")
        shown.append(" | ".join([f"| {peer}", *cells, fused]) + " |")
    assert [line for line in shown if line not in README] == []
