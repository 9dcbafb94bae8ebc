"""What `predict` says of meshes and clouds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from mgic_geo.cli._likely import likely_as_json
from mgic_geo.errors import DataError
from mgic_geo.inference import Prediction
from mgic_geo.models import WeightsInfo
from mgic_geo.scans import CLEAN, UPRIGHT

UNKNOWN = "unknown"


def add_scan_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--up",
        choices=["auto", *UPRIGHT],
        default="z",
        help="axis that points up; auto tries x, y and z and takes the most certain result; "
        "upside down: --up=-z",
    )
    parser.add_argument(
        "--clean",
        action="store_true",
        help="leave out of clouds what is not the object: stray points, and a floor below it",
    )
    parser.add_argument("--keep_floor", action="store_true", help="with --clean: stray points only")
    parser.add_argument(
        "--clusters", action="store_true", help="classify each of the objects of a scan"
    )
    parser.add_argument(
        "--min_confidence",
        "--min-confidence",
        type=float,
        default=0.0,
        metavar="P",
        help=f"probability in [0, 1] below which a shape is {UNKNOWN}",
    )


def check_scan_arguments(options: Namespace, info: WeightsInfo) -> None:
    """Raises :class:`DataError` for options that do not go together, or with the weights."""
    asked = {
        "--up auto": options.up == "auto",
        "--clean": options.clean,
        "--clusters": options.clusters,
    }
    if info.data != "clouds" and any(asked.values()):
        words = next(text for text, given in asked.items() if given)
        raise DataError(f"{words} is for weights that classify shapes, not {options.weights}")
    if not 0.0 <= options.min_confidence <= 1.0:
        raise DataError(f"min_confidence = {options.min_confidence:g}: a probability in [0, 1]")
    if options.keep_floor and not options.clean:
        raise DataError("--keep_floor is for --clean, which leaves floors out")


def clean_words(options: Namespace) -> tuple[str, ...]:
    """What :func:`mgic_geo.inference.predict` is to leave out."""
    kept = ("floor",) if options.keep_floor else ()
    return tuple(word for word in CLEAN if options.clean and word not in kept)


def say_notes(
    file: str, found: Sequence[Prediction], info: WeightsInfo, options: Namespace
) -> None:
    """One line on the error output for each thing that a user should know of a shape."""
    for note in _notes(found, info, options):
        print(f"mgic-geo: {file}: {note}", file=sys.stderr)


def _notes(found: Sequence[Prediction], info: WeightsInfo, options: Namespace) -> Iterator[str]:
    for number, one in enumerate(found, 1):
        where = f"object {number} " if options.clusters else ""
        if options.num_points is None and one.num_points < info.num_points:
            yield (
                f"{where}has {one.num_points} points, the weights were trained on "
                f"{info.num_points}; all are used, the result is less certain"
            )
        if one.flat:
            yield f"{where}is flat: its points lie in one plane, which shows little of an object"
        if not options.clusters and one.objects > 1:
            yield (
                f"looks like {one.objects} objects, and was classified as one; "
                "--clusters classifies each"
            )


def as_json(found: Prediction, options: Namespace) -> dict[str, Any]:
    """A prediction as plain numbers; the class is null where it is not certain enough."""
    likely = likely_as_json(found.top)
    if found.probability < options.min_confidence:
        likely["class"] = None
    return {
        **likely,
        "kind": found.kind,
        "num_points": found.num_points,
        "up": found.up,
        "strays": found.strays,
        "floor": found.floor,
        "objects": found.objects,
        "flat": found.flat,
        "box": [list(corner) for corner in found.box],
    }


def objects_as_json(found: Sequence[Prediction], options: Namespace) -> dict[str, Any]:
    """The objects of a scan."""
    parts = [as_json(one, options) for one in found]
    for part in parts:
        del part["objects"]
    shared = {name: parts[0][name] for name in ("up", "kind", "strays", "floor")}
    own = [{k: v for k, v in part.items() if k not in shared} for part in parts]
    return {**shared, "objects": own}


def box_text(box: Sequence[Sequence[float]]) -> str:
    """Corners in the units of the file."""
    return " to ".join(f"({', '.join(f'{value:.4g}' for value in corner)})" for corner in box)
