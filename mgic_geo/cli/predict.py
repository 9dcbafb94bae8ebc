"""Classify meshes and clouds (OFF, PLY, OBJ, STL, PCD, XYZ, NPY, NPZ), images, or their pixels.

The weights say which. Each shape is sampled, centred and scaled to the unit sphere. With weights of
segmentation a picture shows the classes of an image's pixels. A file that cannot be used is named,
and the others are classified all the same.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from torch import nn

from mgic_geo.cli._images import classify_file, most_likely, segment_file
from mgic_geo.cli._output import one_line, percent, print_json
from mgic_geo.cli._weights import add_weights_arguments, load_weights
from mgic_geo.datasets import sample_points
from mgic_geo.io import Mesh, read_cloud_or_mesh
from mgic_geo.models import WeightsInfo
from mgic_geo.training import predict_logits
from mgic_geo.transforms import normalize_sphere

# Rotations that put the named axis up; a front towards +z, usual where y is up, turns to -y, as in
# ModelNet.
_UPRIGHT = {
    "x": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="a mesh, cloud or image")
    add_weights_arguments(parser)
    parser.add_argument(
        "--num_points",
        type=int,
        help="points to sample (default: as trained, or all of a smaller cloud)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampling")
    parser.add_argument("--up", choices=list(_UPRIGHT), default="z", help="axis that points up")
    parser.add_argument(
        "--out", metavar="FOLDER", help="for pictures of segmentation (default: beside the image)"
    )
    parser.add_argument("--json", action="store_true", help="print a list of JSON objects")


def run(options: Namespace) -> int:
    loaded = load_weights(options)
    model, info = loaded.model, loaded.info
    kinds = {"clouds": _classify, "images": classify_file, "masks": segment_file}
    predict = kinds[info.data]
    results, failed = [], False
    for file in options.files:
        try:
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
    if "overlay" in result:
        shares = ", ".join(f"{s['class']} {percent(s['share'])}" for s in result["shares"])
        return f"{shares} -> {result['overlay']}"
    first, *others = (f"{t['class']} {percent(t['probability'])}" for t in result["top"])
    return f"{first} ({', '.join(others)})"


def _classify(model: nn.Module, info: WeightsInfo, file: str, options: Namespace) -> dict[str, Any]:
    shape = read_cloud_or_mesh(file)
    count = options.num_points
    if count is None:
        count = info.num_points
        if not isinstance(shape, Mesh) and len(shape) < count:
            count = len(shape)
            print(
                f"mgic-geo: {file}: has {count} points, the weights were trained on "
                f"{info.num_points}; all are used, the result is less certain",
                file=sys.stderr,
            )
    points = sample_points(shape, count, seed=options.seed, name=file)
    upright = points @ np.array(_UPRIGHT[options.up], points.dtype).T
    pos = normalize_sphere(torch.from_numpy(upright))
    best = most_likely(predict_logits(model, pos[None], options.device)[0], info.classes)
    kind = "mesh" if isinstance(shape, Mesh) else "cloud"
    return {"file": file, **best, "kind": kind, "num_points": count}
