"""What was made of files, kept on disk: one file for each combination of settings."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from torch import Tensor

from mgic_geo.io import atomic_write, file_lock, remove_leftovers
from mgic_geo.io.tensors import tensors_as_bytes

_T = TypeVar("_T")
_VERSION = 1  # goes up when the same settings give other points


@dataclass
class SampledClouds:
    """Clouds, labels and names of the usable shapes, and ``(name, reason)`` of the others.

    ``lasting`` is false where a file could not be opened this time, which says nothing of the next.
    ``nowhere`` counts the points with NaN coordinates that were left out, and the shapes that had
    them.
    """

    points: Tensor
    labels: Tensor
    names: tuple[str, ...]
    bad_files: tuple[tuple[str, str], ...] = ()
    lasting: bool = True
    nowhere: tuple[int, int] | None = None


def cache_path(root: str | os.PathLike[str], prefix: str, settings: Mapping[str, Any]) -> Path:
    """The cache file of these settings."""
    text = json.dumps({"version": _VERSION, **settings}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Path(root) / "processed" / f"{prefix}_{digest}.safetensors"


def build_once(
    path: Path,
    load: Callable[[Path], _T | None],
    build: Callable[[], _T],
    save: Callable[[Path, _T], None],
    force: bool = False,
) -> _T:
    """Reads a cache file, or builds and saves what belongs into it; one process at a time does.

    Args:
        path: The cache file.
        load: Reads it; :obj:`None` where it is missing or damaged.
        build: Makes the content.
        save: Writes it, or decides not to.
        force: Build again even if there is a cache.
    """
    found = None if force else load(path)
    if found is None:
        with file_lock(path.with_name(f".{path.stem}.lock")):
            # another process may have built it while this one waited
            found = None if force else load(path)
            if found is None:
                remove_leftovers(path.parent, path.name)
                found = build()
                save(path, found)
    return found


def load_tensors(path: Path, *names: str) -> tuple[list[Tensor], dict[str, Any]] | None:
    """Reads tensors and JSON values; :obj:`None` where the file is missing or damaged."""
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            values = {key: json.loads(text) for key, text in file.metadata().items()}
            return [file.get_tensor(name) for name in names], values
    except (OSError, SafetensorError, AttributeError, TypeError, ValueError):
        return None


def save_tensors(path: Path, tensors: Mapping[str, Tensor], **values: Any) -> None:
    """Writes tensors and JSON values, all or nothing."""
    metadata = {key: json.dumps(value) for key, value in values.items()}
    with atomic_write(path) as file:
        file.write(tensors_as_bytes(tensors, metadata))


def load_cache(path: Path) -> SampledClouds | None:
    """Reads a cache file; :obj:`None` where it is missing or damaged."""
    found = load_tensors(path, "points", "labels")
    if found is None:
        return None
    (points, labels), values = found
    try:
        bad_files = tuple((name, reason) for name, reason in values["bad_files"])
        nowhere = values.get("nowhere")
        return SampledClouds(
            points,
            labels,
            tuple(values["names"]),
            bad_files,
            nowhere=None if nowhere is None else (int(nowhere[0]), int(nowhere[1])),
        )
    except (KeyError, TypeError, ValueError):
        return None


def save_cache(path: Path, clouds: SampledClouds) -> None:
    """Writes a cache file, unless another time may find other shapes usable."""
    if clouds.lasting:
        tensors = {"points": clouds.points, "labels": clouds.labels}
        values = {} if clouds.nowhere is None else {"nowhere": clouds.nowhere}
        save_tensors(path, tensors, names=clouds.names, bad_files=clouds.bad_files, **values)
