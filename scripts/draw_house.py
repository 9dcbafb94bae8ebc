"""Draws the package as a house: rooms are folders, arrows run down to what they import."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
Imports = dict[str, set[str]]


def imports_of(place: Path = ROOT / "mgic_geo") -> Imports:
    """What each folder or file of ``place`` imports of the others there.

    Imports inside of functions count, those for type checkers alone do not.

    Raises:
        graphlib.CycleError: Some of them import each other in a circle.
    """
    package = ".".join(place.relative_to(ROOT).parts)
    found: Imports = {}
    for file in sorted(place.rglob("*.py")):
        room = file.relative_to(place).with_suffix("").parts[0]
        if room == "__init__":
            continue  # a public list
        used = found.setdefault(room, set())
        for name in _imported(ast.parse(file.read_text(encoding="utf-8"))):
            head, _, rest = name.partition(f"{package}.")
            if not head and rest and (other := rest.partition(".")[0]) != room:
                used.add(other)
    known = {room: used & set(found) for room, used in found.items()}
    TopologicalSorter(known).prepare()  # finds circles
    return known


def storeys(imports: Imports) -> list[list[str]]:
    """Rooms from the ground up: each stands one storey above the highest that it uses."""
    height: dict[str, int] = {}
    for room in TopologicalSorter(imports).static_order():
        height[room] = 1 + max((height[used] for used in imports[room]), default=-1)
    rows: list[list[str]] = [[] for _ in range(max(height.values()) + 1)]
    for room, level in sorted(height.items()):
        rows[level].append(room)
    return rows


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        yield from _imported(node)


def _draw(axes: Axes, imports: Imports, title: str) -> None:
    rows = storeys(imports)
    widest = max(map(len, rows))
    place = {
        room: ((i + 1) * widest / (len(row) + 1), float(level))
        for level, row in enumerate(rows)
        for i, room in enumerate(row)
    }
    for room, used in imports.items():
        for other in used:
            (x, y), (u, v) = place[room], place[other]
            arrow = {"arrowstyle": "-|>", "color": "#9aa5b1", "lw": 0.8, "shrinkB": 9}
            bend = 0.12 * (x - u) / widest
            arrow["connectionstyle"] = f"arc3,rad={bend:.3f}"
            axes.annotate("", (u, v), (x, y), arrowprops=arrow, zorder=1)
    box = {"boxstyle": "round,pad=0.35", "facecolor": "#e8f1fa", "edgecolor": "#1f6fb4"}
    for room, (x, y) in place.items():
        axes.text(x, y, room, ha="center", va="center", fontsize=8.5, bbox=box, zorder=2)
    axes.set_xlim(0.2, widest + 0.2)
    axes.set_ylim(-0.5, len(rows) - 0.4)
    axes.set_title(title, fontsize=10)
    axes.axis("off")


def main(path: str = "docs/assets/house.png") -> None:
    figure = Figure(figsize=(16.0, 6.2), facecolor="white")
    left, right = figure.subplots(1, 2)
    _draw(left, imports_of(), "mgic_geo: an arrow runs to what is imported, downwards")
    _draw(right, imports_of(ROOT / "mgic_geo" / "kernels"), "mgic_geo/kernels")
    figure.subplots_adjust(0.01, 0.02, 0.99, 0.94, wspace=0.04)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
