"""Small images of one size, decoded once and kept on disk as they lie in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mgic_geo.datasets._cache import load_tensors, save_tensors
from mgic_geo.datasets._sampling import progress_bar
from mgic_geo.datasets.images._classes import ClassFiles
from mgic_geo.datasets.images._files import FileTree
from mgic_geo.datasets.images.decode import UndecodableError, decode_image
from mgic_geo.errors import DataError


@dataclass
class StoredImages:
    """Images uint8 ``[M, 3, H, W]``, labels and names, and ``(name, reason)`` of the unusable."""

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]
    bad_files: tuple[tuple[str, str], ...] = ()


def decode_all(
    tree: FileTree, found: ClassFiles, size: tuple[int, int], strict: bool, progress: bool | None
) -> StoredImages:
    """Decodes all images of a tree, which must be of one size.

    Raises:
        DataError: One has another size, none decodes, or one does not with ``strict``.
    """
    images = torch.empty(len(found.files), 3, *size, dtype=torch.uint8)
    good: list[int] = []
    bad: list[tuple[str, str]] = []
    with progress_bar(progress, total=len(images), desc="Decoding", unit=" images") as bar:
        for i, (path, name) in enumerate(zip(found.files, found.names)):
            bar.update()
            try:
                image = decode_image(tree.read(path), tree.name(path))
            except UndecodableError as error:
                if strict:
                    raise
                bad.append((name, str(error)))
                continue
            if image.shape[1:] != size:
                raise DataError(
                    f"{tree.name(path)}: is {image.size(2)} x {image.size(1)} pixels, not "
                    f"{size[1]} x {size[0]}; give other sizes to ImageFolder"
                )
            images[len(good)] = image
            good.append(i)
    if not good:
        raise DataError(f"{tree.source}: none of its {len(bad)} images can be used; {bad[0][1]}")
    return StoredImages(
        images[: len(good)],
        torch.tensor([found.labels[i] for i in good]),
        tuple(found.names[i] for i in good),
        tuple(bad),
    )


def load_images(path: Path) -> StoredImages | None:
    """Reads a cache file; :obj:`None` where it is missing or damaged."""
    found = load_tensors(path, "images", "labels")
    if found is None:
        return None
    (images, labels), values = found
    try:
        bad_files = tuple((name, reason) for name, reason in values["bad_files"])
        return StoredImages(images, labels, tuple(values["names"]), bad_files)
    except (KeyError, TypeError, ValueError):
        return None


def save_images(path: Path, stored: StoredImages) -> None:
    """Writes a cache file, whole or not at all."""
    tensors = {"images": stored.images.contiguous(), "labels": stored.labels}
    save_tensors(path, tensors, names=stored.names, bad_files=stored.bad_files)
