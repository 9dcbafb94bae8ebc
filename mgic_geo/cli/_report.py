"""Reports of `predict` and `evaluate`, and what they say of the weights."""

from __future__ import annotations

import datetime
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from torch import Tensor

from mgic_geo import __version__
from mgic_geo.cli._weights import Loaded
from mgic_geo.errors import DataError
from mgic_geo.inference import Prediction, most_likely
from mgic_geo.models import list_weights
from mgic_geo.viz import ReportCloud, check_report_path, write_report


def add_report_argument(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--report",
        metavar="FILE.html",
        help="write one HTML file that shows the clouds in 3-D; needs the extra viz",
    )


def check_report(options: Namespace, loaded: Loaded) -> bool:
    """Whether a report is asked for; what would stop it is said before the work is done.

    Raises:
        DataError: It cannot be written there, or the weights are not for clouds.
        ImportError: The extra ``viz`` is missing.
    """
    if options.report is None:
        return False
    if getattr(options, "corruptions", None):
        raise DataError("--report shows one evaluation: leave --corruptions away")
    from mgic_geo.viz.report._page import check_packages

    if loaded.info.data != "clouds":
        raise DataError(
            f"{options.report}: a report shows clouds, and {options.weights} are weights of "
            f"{loaded.info.data}"
        )
    check_report_path(options.report)
    check_packages()
    return True


class PredictionReport:
    """What becomes the report of `predict`, file by file.

    Args:
        options: Of the command.
        loaded: The network.
    """

    def __init__(self, options: Namespace, loaded: Loaded) -> None:
        if options.explain and loaded.info.data != "clouds":
            raise DataError(f"--explain is for classes of clouds, not for {loaded.info.data}")
        self.wanted = check_report(options, loaded)
        self.options, self.loaded = options, loaded
        self.clouds: list[ReportCloud] = []
        self.failures: dict[str, str] = {}
        self.start = time.perf_counter()

    def add(
        self, file: str, found: Prediction, seconds: float, importance: Tensor | None = None
    ) -> None:
        """A file that was classified."""
        if self.wanted:
            self.clouds.append(
                ReportCloud(
                    found.points[:, :3],
                    file,
                    found.top,
                    importance=importance,
                    seconds=seconds,
                    note=f"{found.kind}, {found.up} up",
                )
            )

    def fail(self, file: str, message: str) -> None:
        """A file that could not be."""
        self.failures[file] = message.removeprefix(f"{file}: ")

    def write(self) -> None:
        """Writes the report, if one is asked for."""
        if not self.wanted:
            return
        each = [cloud.seconds for cloud in self.clouds if cloud.seconds is not None]
        timings = {"all files": time.perf_counter() - self.start}
        if each:
            timings |= {"a file, median": statistics.median(each), "a file, longest": max(each)}
        facts = _facts(self.options, self.loaded, self.loaded.info.num_points)
        facts |= {"up axis of the files": self.options.up, "seed": self.options.seed}
        if any(cloud.importance is not None for cloud in self.clouds):
            facts["importance of points"] = "occlusion: parts left away, fall of the log-odds"
        write_report(
            self.options.report,
            self.clouds,
            title="Prediction report",
            facts=facts,
            timings=timings,
            card=model_card(self.options.weights),
            classes=self.loaded.info.classes,
            failures=self.failures,
        )


def write_evaluation(
    options: Namespace,
    loaded: Loaded,
    pos: Tensor,
    label: Tensor,
    names: Sequence[str],
    logits: Tensor,
    seconds: float,
) -> None:
    """The report of `evaluate` on clouds ``pos [M, n, 3 + F]``."""
    classes, calm = loaded.info.classes, logits / loaded.info.temperature
    clouds = [
        ReportCloud(pos[i, :, :3], name, most_likely(calm[i], classes), classes[int(label[i])])
        for i, name in enumerate(names)
    ]
    facts = _facts(options, loaded, pos.size(1)) | {"data": options.data}
    write_report(
        options.report,
        clouds,
        title="Evaluation report",
        facts=facts,
        timings={"network, all shapes": seconds, "network, a shape": seconds / max(len(pos), 1)},
        card=model_card(options.weights),
        classes=classes,
    )


def _facts(options: Namespace, loaded: Loaded, num_points: int) -> dict[str, Any]:
    """Weights and software, in words."""
    facts: dict[str, Any] = {"weights": os.path.basename(str(options.weights))}
    facts["network"] = loaded.info.model + (", fused" if options.fuse else "")
    if loaded.parameters:
        facts["parameters"] = f"{loaded.parameters:,}"
    return facts | {
        "points a cloud": f"{num_points:,}",
        "classes": len(loaded.info.classes),
        "device": options.device,
        "software": f"mgic_geo {__version__}, torch {torch.__version__}",
        "made": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"),
    }


def model_card(name_or_path: str) -> str | None:
    """The card of shipped weights, or ``README.md`` of a run folder."""
    from importlib.resources import files

    folder = Path(name_or_path)
    if name_or_path in list_weights():
        folder = Path(str(files("mgic_geo") / "weights" / name_or_path))
    card = folder / "README.md"
    return card.read_text("utf-8") if card.is_file() else None
