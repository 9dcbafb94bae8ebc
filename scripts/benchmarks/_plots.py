"""Pictures of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mgic_geo.viz._figure import INK, PALE, new_figure, save_figure, tidy

from ._bench import Row, failure
from .classifier import MODELS
from .roofline import COPY, PRODUCT
from .width import SIZES

COLOURS = ("#e0722a", "#1f6fb4", "#3c9a5f", "#8a5fb0", "#6b7280", "#b0413e")


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draws what there are rows for, a picture a family and device."""
    paths = []
    for device in dict.fromkeys(row["device"] for row in rows):
        suffix = "" if device == "cpu" else f"_{device}"
        for name, plot in (
            ("width", _width),
            ("points", _points),
            ("classifier", _classifier),
            ("roofline", _roofline),
        ):
            own = [row for row in rows if row["family"] == name and row["device"] == device]
            if any(row["seconds"] for row in own):
                try:
                    path = save_figure(plot(own), folder / f"bench_{name}{suffix}.png", dpi=130)
                    paths.append(path)
                except Exception as error:  # rows are worth more than their picture
                    print(f"no picture of {name}: {failure(error)}")
    return paths


def _select(rows: Sequence[Row], column: str, **wanted: str) -> list[Row]:
    return [
        row
        for row in rows
        if row[column] and all(row[key] == value for key, value in wanted.items())
    ]


def _curve(axes: Any, rows: Sequence[Row], axis: str, case: str, peer: str, **style: Any) -> None:
    """Seconds with their quartiles, and the fitted exponent in the legend."""
    own = _select(rows, "seconds", case=case, peer=peer)
    if not own:
        return
    x, y = ([float(row[key]) for row in own] for key in (axis, "seconds"))
    fit = _select(rows, "exponent", case=case, peer=peer)
    label = f"{peer}: {float(fit[-1]['exponent']):.2f}" if fit else peer
    axes.plot(x, y, marker="o", ms=4, lw=1.5, label=label, **style)
    bands = ([float(row[key]) for row in own] for key in ("q1", "q3"))
    axes.fill_between(x, *bands, color=style["color"], alpha=0.15, lw=0)


def _log_log(axes: Any, rows: Sequence[Row], axis: str, label: str, title: str) -> None:
    ticks = sorted({int(row[axis]) for row in rows if row[axis] and row["seconds"]})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(label, color=INK)
    axes.set_title(title, fontsize=10, color=INK)
    tidy(axes)
    style = {"frameon": False, "fontsize": 8, "labelcolor": INK, "title_fontsize": 8}
    axes.legend(loc="upper left", title="exponent", **style)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.35)  # the curves rise; the legend stands above


def _width(rows: Sequence[Row]) -> Any:
    figure = new_figure(10.0, 4.4)
    nodes = next(row["nodes"] for row in rows if row["nodes"])
    for i, case in enumerate(("block, forward + backward", "block, forward")):
        axes = figure.add_subplot(1, 2, i + 1)
        for size, colour in zip(SIZES, COLOURS):
            plain = f"{size}, materialised"
            _curve(axes, rows, "width", case, size, color=colour)
            _curve(axes, rows, "width", case, plain, color=colour, ls="--", alpha=0.7)
        title = f"DiffGCN {case}, {int(nodes):,} nodes"
        _log_log(axes, [row for row in rows if row["case"] == case], "width", "width", title)
        if i == 0:
            axes.set_ylabel("seconds", color=INK)
    figure.set_layout_engine("tight")
    return figure


def _points(rows: Sequence[Row]) -> Any:
    figure = new_figure(6.0, 4.4)
    axes = figure.add_subplot()
    for peer, colour in zip(MODELS, (COLOURS[1], COLOURS[0], *COLOURS[2:])):
        _curve(axes, rows, "nodes", "graph + inference", peer, color=colour)
    _curve(axes, rows, "nodes", "graph", "knn_graph", color=INK, ls=":")
    _log_log(axes, rows, "nodes", "points in one cloud", "graph and inference")
    axes.set_ylabel("seconds", color=INK)
    figure.set_layout_engine("tight")
    return figure


def _classifier(rows: Sequence[Row]) -> Any:
    figure = new_figure(10.0, 3.0)
    for i, case in enumerate(("training step", "inference")):
        axes = figure.add_subplot(1, 2, i + 1)
        own = _select(rows, "seconds", case=case)[::-1]
        milliseconds = [1e3 * float(row["seconds"]) for row in own]
        spread = [
            [abs(1e3 * float(row[key]) - ms) for row, ms in zip(own, milliseconds)]
            for key in ("q1", "q3")
        ]
        names = [row["peer"] for row in own]
        colours = [COLOURS[0] if name.startswith("PyG") else COLOURS[1] for name in names]
        axes.barh(names, milliseconds, color=colours, xerr=spread, ecolor=PALE, height=0.65)
        for place, (row, ms) in enumerate(zip(own, milliseconds)):
            ratio = f"  ({float(row['ratio']):.1f} x)" if row["ratio"] else ""
            axes.text(
                max(ms, 1e3 * float(row["q3"])),
                place,
                f"  {ms:,.{1 if ms < 100 else 0}f} ms{ratio}",
                va="center",
                fontsize=8,
                color=INK,
            )
        axes.set_xlim(0, 1.45e3 * max(float(row["q3"]) for row in own))
        axes.set_title(f"{case}, {int(own[0]['nodes']):,} points", fontsize=10, color=INK)
        axes.set_xlabel("milliseconds", color=INK)
        tidy(axes)
    figure.set_layout_engine("tight")
    return figure


def _roofline(rows: Sequence[Row]) -> Any:
    from matplotlib.ticker import LogLocator  # optional, like every picture

    figure = new_figure(10.0, 4.4)
    peak = max(float(row["gmacs"]) for row in _select(rows, "gmacs", peer=PRODUCT))
    stream = max(float(row["gbs"]) for row in _select(rows, "gbs", peer=COPY))
    operators = ("DiffGCNConv", "EdgeConv", "GroupedPointwise")
    for i, case in enumerate(("forward", "forward + backward")):
        axes = figure.add_subplot(1, 2, i + 1)
        intensities = []
        for peer, colour in zip(operators, (COLOURS[1], COLOURS[0], COLOURS[2])):
            own = _select(rows, "gmacs", case=case, peer=peer)
            y = [float(row["gmacs"]) for row in own]
            x = [rate / float(row["gbs"]) for rate, row in zip(y, own)]
            axes.plot(x, y, "o", ms=5, color=colour, label=peer)
            intensities += x
            for row, place in zip(own, zip(x, y)):
                text = f"{row['width']}/{row['group_size']}"
                axes.annotate(
                    text, place, (4, 3), textcoords="offset points", fontsize=7, color=colour
                )
        ends = [0.5 * min(intensities), peak / stream, 4 * max(*intensities, peak / stream)]
        axes.plot(ends, [stream * ends[0], peak, peak], color=PALE, lw=1.2)
        machine = f"product {peak:.0f} GMAC/s, copy {stream:.0f} GB/s"
        axes.set_title(f"{case}; {machine}", fontsize=10, color=INK)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_xlabel("multiply-accumulates a byte of least traffic", color=INK)
        tidy(axes)
        axes.legend(
            frameon=False, fontsize=8, labelcolor=INK, title="width/group size", title_fontsize=8
        )
        if i == 0:
            axes.set_ylabel("GMAC/s", color=INK)
    figure.set_layout_engine("tight")
    return figure
