"""What `--up auto` and `--clean` do to validation shapes, whole and spoilt, as rows.

    python -m scripts.scan_trials --data modelnet10_train.npz

Of each condition and each set of options: accuracy, the share of predictions that differ from those
of the shape as it is, the share whose axis is right, and the share that is said to be several
objects. `scripts.scan_shapes` says what the conditions are.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mgic_geo.errors import MgicGeoError
from mgic_geo.inference import Prediction, predict
from mgic_geo.io import atomic_write
from mgic_geo.models import load_model
from mgic_geo.scans import CLEAN
from mgic_geo.training import provenance
from scripts.scan_shapes import (
    Camera,
    Points,
    normalized,
    scan,
    validation_part,
    with_floor,
    with_strays,
)

Spoil = Callable[[Points, np.random.Generator], Points]
_Y_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])


def _camera(rng: np.random.Generator) -> Camera:
    return Camera(azimuth=rng.uniform(-45, 45), elevation=rng.uniform(15, 40))


# The axis that is up, and what is done to a normalised cloud.
CONDITIONS: dict[str, tuple[str, Spoil]] = {
    "as it is": ("z", lambda points, rng: points),
    "y up": ("y", lambda points, rng: points @ _Y_UP.T),
    "5 % stray points": ("z", with_strays),
    "on a floor": ("z", with_floor),
    "one side seen": ("z", lambda points, rng: _camera(rng).see(points, rng)),
    "scan": ("y", lambda points, rng: scan(points, _camera(rng), rng)),
}
OPTIONS: dict[str, tuple[str | None, tuple[str, ...]]] = {  # None: the right axis
    "": (None, ()),
    "--clean": (None, CLEAN),
    "--up auto": ("auto", ()),
    "--up auto --clean": ("auto", CLEAN),
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True, help="npz file of ModelNet-10's training shapes")
    parser.add_argument("--weights", default="modelnet10-mgic-diffgcn")
    parser.add_argument("--step", type=int, default=1, help="take each so manieth shape")
    parser.add_argument("--out", type=Path, default=Path("results/scans.csv"))
    args = parser.parse_args(argv)
    origin = provenance()  # before anything is written
    try:
        points, classes, _ = validation_part(args.data)
        weights = load_model(args.weights)
    except MgicGeoError as error:
        print(f"scan_trials: {error}", file=sys.stderr)
        return 1
    points, classes = points[:: args.step], classes[:: args.step]
    plain: list[Prediction] = []
    rows = []
    for condition, (right_up, spoil) in CONDITIONS.items():
        rng = np.random.default_rng(0)
        spoilt = [spoil(normalized(one), rng) for one in points]
        for words, (up, clean) in OPTIONS.items():
            found = [
                predict(rng.permutation(one), weights, up=up or right_up, clean=clean)
                for rng, one in zip(map(np.random.default_rng, range(len(spoilt))), spoilt)
            ]
            plain = plain or found
            figures = {
                "accuracy": [one.label == name for one, name in zip(found, classes)],
                "changed": [one.label != same.label for one, same in zip(found, plain)],
                "right_up": [one.up == right_up for one in found],
                "several": [one.objects > 1 for one in found],
                "floor": [one.floor > 0 for one in found],
            }
            shares = {name: f"{100 * float(np.mean(hits)):.2f}" for name, hits in figures.items()}
            shapes, weights_name = len(found), args.weights
            row = {"condition": condition, "options": words, **shares, "shapes": shapes}
            rows.append({**row, "weights": weights_name, **origin})
            print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    with atomic_write(args.out, "w", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
