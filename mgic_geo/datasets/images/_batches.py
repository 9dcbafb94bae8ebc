"""CIFAR's own format: pickled batches in a folder or tar archive."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mgic_geo.datasets.images._memory import StoredImages
from mgic_geo.datasets.images._pickle import load_plain
from mgic_geo.errors import DataError


def read_batches(
    source: Path, batches: Sequence[str], meta: str, kind: str, classes: Sequence[str]
) -> StoredImages:
    """Reads the batches of one split.

    Args:
        source: The tar archive or the folder.
        batches: Their files.
        meta: The file of class names.
        kind: What its key and that of the labels begin with: ``""`` or ``"fine_"``.
        classes: The names that it must hold.

    Raises:
        DataError: Something is missing, damaged, or does not fit together.
    """
    content = _read(source, (*batches, meta))
    names = load_plain(content[meta], f"{source}: {meta}").get(f"{kind or ''}label_names".encode())
    if [_text(name) for name in names or ()] != list(classes):
        raise DataError(f"{source}: {meta} does not hold the class names {', '.join(classes[:3])}…")
    images, labels, files = [], [], []
    for batch in batches:
        part = load_plain(content[batch], f"{source}: {batch}")
        pixels = part.get(b"data")
        label = part.get(f"{kind}labels".encode())
        name = part.get(b"filenames")
        if (
            not isinstance(pixels, np.ndarray)
            or pixels.dtype != np.uint8
            or pixels.ndim != 2
            or pixels.shape[1] != 3072
            or not (isinstance(label, list) and isinstance(name, list))
            or not len(pixels) == len(label) == len(name)
            or not all(isinstance(x, int) and 0 <= x < len(classes) for x in label)
        ):
            raise DataError(f"{source}: {batch} does not hold images of 32 x 32 with their labels")
        images.append(pixels.reshape(-1, 3, 32, 32))
        labels += label
        files += [_text(x).rpartition(".")[0] or _text(x) for x in name]
    return StoredImages(
        torch.from_numpy(np.concatenate(images)), torch.tensor(labels), tuple(files)
    )


def is_batches(source: Path, meta: str) -> bool:
    """Whether a path is such an archive or folder."""
    if source.is_dir():
        return (source / meta).is_file()
    return source.name.lower().endswith((".tar.gz", ".tgz", ".tar"))


def _read(source: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    if source.is_dir():
        for name in wanted:
            if (source / name).is_file():
                found[name] = (source / name).read_bytes()
    else:
        try:
            with tarfile.open(source) as archive:  # nothing is unpacked to the disk
                for member in archive:
                    name = member.name.rpartition("/")[2]
                    file = archive.extractfile(member) if name in wanted else None
                    if file is not None:
                        found[name] = file.read()
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
            raise DataError(
                f"{source}: a damaged archive ({reason}); delete it and get it again"
            ) from error
    if missing := [name for name in wanted if name not in found]:
        raise DataError(f"{source}: lacks {', '.join(missing)}")
    return found


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
