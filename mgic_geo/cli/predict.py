"""Classify meshes and clouds, images, or their points and pixels.

The weights say which. Shapes are OFF, PLY, OBJ, STL, glTF, GLB, PCD, XYZ, PTS, TXT, CSV, LAS, LAZ,
HDF5, NPY or NPZ, each also with .gz. Each is sampled, centred and scaled to the unit sphere. With
weights of segmentation a picture shows the classes of an image's pixels, and a PLY file holds all
points of a cloud with their classes, as colours and as the property label. A file that cannot be
used is named, and the others are classified all the same.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from torch import nn

from mgic_geo import inference
from mgic_geo._first_calls import WORTH
from mgic_geo.cli._explain import explained, explanation_as_json
from mgic_geo.cli._output import one_line, percent, print_json
from mgic_geo.cli._report import PredictionReport, add_report_argument
from mgic_geo.cli._shapes import (
    UNKNOWN,
    add_scan_arguments,
    as_json,
    box_text,
    check_scan_arguments,
    clean_words,
    objects_as_json,
    say_notes,
)
from mgic_geo.cli._weights import add_weights_arguments, load_weights
from mgic_geo.kernels import without_compiler
from mgic_geo.models import WeightsInfo


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="a mesh, cloud or image")
    add_weights_arguments(parser)
    parser.add_argument(
        "--num_points",
        type=int,
        help="points to sample (default: as trained, or all of a smaller cloud)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampling")
    add_scan_arguments(parser)
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="for pictures or clouds of segmentation (default: beside the file); of one cloud also "
        "a file .ply",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="how much the class hangs on each point: colours in the report and "
        "in a PLY file in --out, numbers in the JSON",
    )
    add_report_argument(parser)
    parser.add_argument("--json", action="store_true", help="print a list of JSON objects")


def run(options: Namespace) -> int:
    loaded = load_weights(options)
    model, info = loaded.model, loaded.info
    check_scan_arguments(options, info)
    report = PredictionReport(options, loaded)
    predict: Callable[..., dict[str, Any]] = partial(_classify, report=report)
    if info.data == "point_labels":
        from mgic_geo.cli import _points

        predict = _points.segment_file
    elif info.data != "clouds":
        from mgic_geo.cli import _images

        predict = _images.classify_file if info.data == "images" else _images.segment_file
    # an importance takes more judgements than the compiler costs
    compiled = options.explain or len(options.files) >= WORTH
    results, failed = [], False
    for file in options.files:
        try:
            # decided for all files at once, so that they are judged alike
            with contextlib.nullcontext() if compiled else without_compiler():
                result = predict(model, info, file, options)
        except Exception as error:  # whatever a file does to a reader, the others come after it
            text = one_line(error)
            text = text if file in text else f"{file}: {text}"
            print(f"mgic-geo: {text}", file=sys.stderr)
            result, failed = {"file": file, "error": text}, True
            report.fail(file, text)
        results.append(result)
        if not options.json and "error" not in result:
            # at once: a long list of files shows how far it is
            for line in _lines(result):
                print(f"{file}: {line}", flush=True)
    report.write()
    if options.json:
        print_json(results)
    return 1 if failed else 0


def _lines(result: dict[str, Any]) -> list[str]:
    if not isinstance(result.get("objects"), list):
        return [_line(result)]
    count = len(result["objects"])
    return [
        f"object {number} of {count}, {box_text(one['box'])}{_up(result)}: {_line(one)}"
        for number, one in enumerate(result["objects"], 1)
    ]


def _up(result: dict[str, Any]) -> str:
    return "" if result.get("up", "z") == "z" else f", {result['up']} up"


def _line(result: dict[str, Any]) -> str:
    if "shares" in result:
        shares = ", ".join(f"{s['class']} {percent(s['share'])}" for s in result["shares"])
        return f"{shares} -> {result.get('overlay') or result['labelled']}"
    first, *others = (f"{t['class']} {percent(t['probability'])}" for t in result["top"])
    if result["class"] is None:
        first, others = UNKNOWN, [first, *others]
    return f"{first} ({', '.join(others)}){_up(result)}"


def _classify(
    model: nn.Module, info: WeightsInfo, file: str, options: Namespace, report: PredictionReport
) -> dict[str, Any]:
    start = time.perf_counter()
    predict = inference.predict_objects if options.clusters else inference.predict
    result = predict(
        file,
        (model, info),
        num_points=options.num_points,
        seed=options.seed,
        up=options.up,
        clean=clean_words(options),
        device=options.device,
        compiled=options.explain or len(options.files) >= WORTH,
    )
    found = (result,) if isinstance(result, inference.Prediction) else result
    say_notes(file, found, info, options)
    shown = []
    for number, one in enumerate(found, 1):
        importance = explained(model, info, one, options) if options.explain else None
        name = f"{file}, object {number}" if options.clusters else file
        report.add(name, one, (time.perf_counter() - start) / len(found), importance)
        part = f"_{number}" if options.clusters else ""
        shown.append(explanation_as_json(file, one, importance, options, part))
    if not options.clusters:
        return {"file": file, **as_json(found[0], options), **shown[0]}
    told = objects_as_json(found, options)
    for about, more in zip(told["objects"], shown, strict=True):
        about |= more
    return {"file": file, **told}
