"""LAS and LAZ, the clouds of laser scanners."""

from __future__ import annotations

import os

from mgic_geo.io.apart import read_apart
from mgic_geo.io.cloud import PointCloud, unit_colors


def parse_las(data: bytes, path: str | os.PathLike[str]) -> PointCloud:
    """The cloud of a LAS or LAZ file, in its own coordinates; not yet checked."""
    found = read_apart("las", data)
    colors, intensity = (unit_colors(found.get(name)) for name in ("colors", "intensity"))
    return PointCloud(found["points"], None, colors, intensity)
