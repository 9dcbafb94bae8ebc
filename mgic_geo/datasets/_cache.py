"""Sampled clouds on disk, one file for each combination of settings."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mgic_geo.io import atomic_write

_VERSION = 1  # goes up when the same settings give other points


@dataclass
class SampledClouds:
    """Clouds, labels and names of the usable shapes, and ``(name, reason)`` of the others.

    ``lasting`` is false where a file could not be opened this time, which says nothing of the next.
    """

    points: Tensor
    labels: Tensor
    names: tuple[str, ...]
    bad_files: tuple[tuple[str, str], ...] = ()
    lasting: bool = True


def cache_path(root: str | os.PathLike[str], prefix: str, settings: Mapping[str, Any]) -> Path:
    """The cache file of these settings."""
    text = json.dumps({"version": _VERSION, **settings}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Path(root) / "processed" / f"{prefix}_{digest}.safetensors"


def load_cache(path: Path) -> SampledClouds | None:
    """Reads a cache file; :obj:`None` where it is missing or damaged."""
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            metadata = file.metadata()
            return SampledClouds(
                file.get_tensor("points"),
                file.get_tensor("labels"),
                tuple(json.loads(metadata["names"])),
                tuple((name, reason) for name, reason in json.loads(metadata["bad_files"])),
            )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def save_cache(path: Path, clouds: SampledClouds) -> None:
    """Writes a cache file, whole or not at all."""
    metadata = {"names": json.dumps(clouds.names), "bad_files": json.dumps(clouds.bad_files)}
    with atomic_write(path) as file:
        file.write(save({"points": clouds.points, "labels": clouds.labels}, metadata))
