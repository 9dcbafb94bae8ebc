"""Scans of ModelNet-10 shapes as a depth camera would make them, and what `predict` says of them.

    python -m scripts.scan_shapes --data modelnet10_train.npz --out scans

Of validation shapes, which the shipped weights with a validation part were not trained on. Each is
seen from one side, by a camera above the ground whose depths are noisy; the floor is left in, stray
points fly about, y is up and the unit is the millimetre. It writes a text file for each scan and
prints the line of

    mgic-geo predict scans/*.xyz --up auto --clean
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mgic_geo.cli import main as mgic_geo
from mgic_geo.datasets import PointClouds, train_val_split
from mgic_geo.errors import MgicGeoError

Points = NDArray[np.float64]
_PIXELS = 160
_FROM_Y_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])  # (x, y, z) with z up to y up


@dataclass(frozen=True)
class Camera:
    """A depth camera that looks at the origin.

    Args:
        azimuth: In degrees; 0 is the front, -y.
        elevation: Above the ground, in degrees.
        distance: From the origin, in radii of the object.
        noise: Standard deviation of depths, in radii of the object.
    """

    azimuth: float = 0.0
    elevation: float = 25.0
    distance: float = 3.5
    noise: float = 0.01

    def see(self, points: Points, rng: np.random.Generator) -> Points:
        """The points in front, with noise along their rays; points are drawn as discs."""
        a, e = np.radians([self.azimuth, self.elevation])
        back = np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])
        right = np.array([np.cos(a), np.sin(a), 0.0])
        rays = points - self.distance * back
        depth = -rays @ back
        focal = 0.5 * _PIXELS * self.distance / 2.2
        across = focal * (rays @ right) / depth + 0.5 * _PIXELS
        down = focal * (rays @ np.cross(right, back)) / depth + 0.5 * _PIXELS
        spacing = float(np.median(cKDTree(points).query(points, 5)[0][:, -1]))
        radius = max(int(np.ceil(focal * 0.8 * spacing / self.distance)), 1)
        column, row = (np.clip(x, 0, _PIXELS - 1).astype(int) for x in (across, down))
        nearest = np.full((_PIXELS, _PIXELS), np.inf)
        for i in range(-radius, radius + 1):
            for j in range(-radius, radius + 1):
                if i * i + j * j <= radius * radius:
                    at = np.clip(row + i, 0, _PIXELS - 1), np.clip(column + j, 0, _PIXELS - 1)
                    np.minimum.at(nearest, at, depth)
        seen = depth <= nearest[row, column] + 1.5 * spacing
        farther = 1.0 + self.noise * rng.normal(size=int(seen.sum())) / depth[seen]
        found: Points = self.distance * back + rays[seen] * farther[:, None]
        return found


def normalized(points: Points) -> Points:
    """Centred, in the unit sphere."""
    centred = points - points.mean(axis=0)
    return np.asarray(centred / np.linalg.norm(centred, axis=1).max())


def with_floor(points: Points, rng: np.random.Generator, margin: float = 0.5) -> Points:
    """The same on a floor of the same density, wider by ``margin`` radii at each side."""
    spacing = float(np.median(cKDTree(points).query(points, 5)[0][:, -1])) / 1.2
    low, high = points.min(axis=0), points.max(axis=0)
    sides = high[:2] - low[:2] + 2 * margin
    flat = rng.random((int(np.prod(sides) / spacing**2), 2)) * sides + low[:2] - margin
    level = np.full((len(flat), 1), low[2])
    return np.concatenate([points, np.concatenate([flat, level], axis=1)])


def with_strays(points: Points, rng: np.random.Generator, share: float = 0.05) -> Points:
    """The same with ``share`` of all points anywhere in the unit ball."""
    count = round(share * len(points) / (1 - share))
    away = rng.normal(size=(count, 3))
    away *= rng.random((count, 1)) ** (1 / 3) / np.linalg.norm(away, axis=1, keepdims=True)
    return np.concatenate([points, away])


def scan(points: Points, camera: Camera, rng: np.random.Generator) -> Points:
    """What the camera delivers of a shape, z up: millimetres, y up, in random order."""
    scene = with_floor(normalized(points), rng)
    seen = with_strays(camera.see(scene, rng), rng, 0.02)
    return np.asarray(rng.permutation(1000.0 * seen @ _FROM_Y_UP.T))


def validation_part(data: str) -> tuple[Points, list[str], list[str]]:
    """Points ``[M, n, 3]``, classes and names of the last eighth of each class."""
    dataset = PointClouds(data, "datasets/scan_shapes", num_points=1024)
    part = train_val_split(dataset.labels, dataset.names)[1].tolist()
    points = dataset.points[part].double().numpy()
    classes = [dataset.classes[int(dataset.labels[i])] for i in part]
    return points, classes, [Path(dataset.names[i]).name for i in part]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True, help="npz file of ModelNet-10's training shapes")
    parser.add_argument("--out", type=Path, default=Path("scans"), metavar="FOLDER")
    parser.add_argument("--weights", default="modelnet10-mgic-diffgcn")
    parser.add_argument("--count", type=int, default=12, help="scans")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    try:
        points, classes, names = validation_part(args.data)
    except MgicGeoError as error:
        print(f"scan_shapes: {error}", file=sys.stderr)
        return 1
    rng = np.random.default_rng(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    kinds = sorted(set(classes))
    files = []
    for number in range(args.count):
        kind = kinds[number % len(kinds)]
        index = int(rng.choice([i for i, name in enumerate(classes) if name == kind]))
        camera = Camera(azimuth=rng.uniform(-45, 45), elevation=rng.uniform(15, 40))
        file = args.out / f"{names[index]}.xyz"
        np.savetxt(file, scan(points[index], camera, rng), fmt="%.1f")
        files.append(str(file))
    print(f"mgic-geo predict {args.out}/*.xyz --up auto --clean --weights {args.weights}")
    return mgic_geo(["predict", *files, "--up", "auto", "--clean", "--weights", args.weights])


if __name__ == "__main__":
    sys.exit(main())
