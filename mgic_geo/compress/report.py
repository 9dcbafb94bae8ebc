"""What a compression changed, in text, JSON and a picture."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mgic_geo.viz._figure import COLOURS, INK, PALE, new_figure, save_figure, tidy


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Args:
        name: As in ``named_modules``.
        kind: What it is.
        size: Inputs, outputs and kernel, ``"64 -> 128, 3x3"``.
        replaced: Whether it is in the hierarchy now.
        reason: Why it was left alone, or what else is to be said.
        form: Its grids.
        parameters: Before and after.
        macs: Multiply-accumulates in the example, before and after.
        error: Relative error of its outputs after the fit; None without one.

    Example:
        >>> LayerReport("fc", "Linear", "64 -> 10", False, reason="last layer").replaced
        False
    """

    name: str
    kind: str
    size: str
    replaced: bool
    reason: str = ""
    form: str = ""
    parameters: tuple[int, int] = (0, 0)
    macs: tuple[int, int] = (0, 0)
    error: float | None = None


@dataclass(frozen=True)
class Latency:
    """Times of one call of the example, in milliseconds.

    Args:
        engine: ``"eager"``, or a format of :func:`mgic_geo.export`.
        threads: Threads.
        before: Least of the given model.
        after: Least of the compressed one.

    Example:
        >>> times = Latency("onnx", threads=1, before=8.0, after=5.0)
        >>> times.after / times.before
        0.625
    """

    engine: str
    threads: int
    before: float
    after: float


@dataclass
class CompressReport:
    """What :func:`mgic_geo.compress` did; ``str(report)`` is a table.

    Args:
        model: Class of the model.
        layers: In the order of ``named_modules``.
        parameters: Of the whole model, before and after.
        macs: Of the whole model on the example, before and after; None where they cannot be
            counted.
        options: With what it was called.
        latency: As far as it was measured, see :func:`mgic_geo.compress.measure_latency`.

    Example:
        >>> layer = LayerReport("1", "Linear", "64 -> 64", True, parameters=(4160, 1856))
        >>> report = CompressReport("Sequential", [layer], (8000, 5696), None)
        >>> [layer.name for layer in report.replaced]
        ['1']
    """

    model: str
    layers: list[LayerReport]
    parameters: tuple[int, int]
    macs: tuple[int, int] | None
    options: dict[str, Any] = field(default_factory=dict)
    latency: list[Latency] = field(default_factory=list)

    @property
    def replaced(self) -> list[LayerReport]:
        """The layers that are in the hierarchy now."""
        return [layer for layer in self.layers if layer.replaced]

    def to_json(self) -> str:
        """Everything, as one JSON object."""
        return json.dumps(asdict(self), indent=2)

    def __str__(self) -> str:
        header = ("layer", "kind", "size", "parameters", "now", "MACs", "now", "error", "form")
        rows = [
            (
                layer.name or "(itself)", layer.kind, layer.size, f"{layer.parameters[0]:,}",
                f"{layer.parameters[1]:,}", f"{layer.macs[0]:,}", f"{layer.macs[1]:,}",
                "-" if layer.error is None else f"{layer.error:.3f}",
                "; ".join(filter(None, [layer.form, layer.reason])),
            )
            for layer in self.replaced
        ]  # fmt: skip
        lines = _aligned([header, *rows])
        left = [layer for layer in self.layers if not layer.replaced]
        if left:
            lines += ["", "left as they are:"]
            lines += _aligned(
                [(f"  {layer.name or '(itself)'}", layer.kind, layer.reason) for layer in left]
            )
        lines += ["", f"parameters: {_change(self.parameters)}"]
        lines.append("MACs: not countable" if self.macs is None else f"MACs: {_change(self.macs)}")
        for one in self.latency:
            lines.append(
                f"latency, {one.engine}, {one.threads} thread{'s' * (one.threads > 1)}: "
                f"{one.before:.2f} -> {one.after:.2f} ms ({one.after / one.before:.2f} of it)"
            )
        return "\n".join(lines)

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draws parameters of each replaced layer before and after, and its error.

        Args:
            path: ``.png``, ``.svg`` or ``.pdf``.

        Raises:
            DataError: It is no picture's name.
            ImportError: matplotlib is missing; the message names the extra.
        """
        layers = self.replaced
        figure = new_figure(8.0, 1.6 + 0.22 * max(len(layers), 4))
        bars, errors = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        places = range(len(layers))
        bars.barh(places, [x.parameters[0] for x in layers], color=PALE, alpha=0.5, label="before")
        bars.barh(
            places, [x.parameters[1] for x in layers], color=COLOURS[0], height=0.5, label="now"
        )
        bars.set_yticks(places, [x.name for x in layers], fontsize=7)
        bars.invert_yaxis()
        bars.set_xlabel("parameters", color=INK)
        bars.legend(frameon=False, fontsize=8)
        errors.plot([x.error or 0.0 for x in layers], places, "o", color=COLOURS[1], markersize=4)
        errors.set_xlabel("relative error of the fit", color=INK)
        errors.set_xlim(left=0.0)
        for axes in (bars, errors):
            tidy(axes)
        figure.suptitle(f"{self.model}: {_change(self.parameters)} parameters", fontsize=10)
        figure.set_layout_engine("tight")
        return save_figure(figure, path)


def _change(numbers: Sequence[int]) -> str:
    before, after = numbers
    share = f" ({100.0 * after / before:.1f} %)" if before else ""
    return f"{before:,} -> {after:,}{share}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
