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
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from torch import nn

from mgic_geo import inference
from mgic_geo._first_calls import WORTH
from mgic_geo.cli._likely import likely_as_json
from mgic_geo.cli._output import one_line, percent, print_json
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
    parser.add_argument(
        "--up", choices=list(inference.UPRIGHT), default="z", help="axis that points up"
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="for pictures or clouds of segmentation (default: beside the file); of one cloud also "
        "a file .ply",
    )
    parser.add_argument("--json", action="store_true", help="print a list of JSON objects")


def run(options: Namespace) -> int:
    loaded = load_weights(options)
    model, info = loaded.model, loaded.info
    predict = _classify
    if info.data == "point_labels":
        from mgic_geo.cli import _points

        predict = _points.segment_file
    elif info.data != "clouds":
        from mgic_geo.cli import _images

        predict = _images.classify_file if info.data == "images" else _images.segment_file
    results, failed = [], False
    for file in options.files:
        try:
            # decided for all files at once, so that they are judged alike
            with contextlib.nullcontext() if len(options.files) >= WORTH else without_compiler():
                result = predict(model, info, file, options)
        except Exception as error:  # whatever a file does to a reader, the others come after it
            text = one_line(error)
            text = text if file in text else f"{file}: {text}"
            print(f"mgic-geo: {text}", file=sys.stderr)
            result, failed = {"file": file, "error": text}, True
        results.append(result)
        if not options.json and "error" not in result:
            # at once: a long list of files shows how far it is
            print(f"{file}: {_line(result)}", flush=True)
    if options.json:
        print_json(results)
    return 1 if failed else 0


def _line(result: dict[str, Any]) -> str:
    if "shares" in result:
        shares = ", ".join(f"{s['class']} {percent(s['share'])}" for s in result["shares"])
        return f"{shares} -> {result.get('overlay') or result['labelled']}"
    first, *others = (f"{t['class']} {percent(t['probability'])}" for t in result["top"])
    return f"{first} ({', '.join(others)})"


def _classify(model: nn.Module, info: WeightsInfo, file: str, options: Namespace) -> dict[str, Any]:
    found = inference.predict(
        file,
        (model, info),
        num_points=options.num_points,
        seed=options.seed,
        up=options.up,
        device=options.device,
        compiled=len(options.files) >= WORTH,
    )
    if options.num_points is None and found.num_points < info.num_points:
        print(
            f"mgic-geo: {file}: has {found.num_points} points, the weights were trained on "
            f"{info.num_points}; all are used, the result is less certain",
            file=sys.stderr,
        )
    return {
        "file": file,
        **likely_as_json(found.top),
        "kind": found.kind,
        "num_points": found.num_points,
    }
