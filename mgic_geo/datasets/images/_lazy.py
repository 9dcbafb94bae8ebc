"""Images that stay in their files until they are asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mgic_geo._processors import usable_processors
from mgic_geo.datasets._cache import build_once, cache_path
from mgic_geo.datasets._sampling import progress_bar
from mgic_geo.datasets.images._base import ImageDataset
from mgic_geo.datasets.images._files import FileTree
from mgic_geo.datasets.images.decode import (
    UndecodableError,
    decode_image,
    decode_mask,
    probe_image,
)
from mgic_geo.errors import DataError
from mgic_geo.io import atomic_write

_WORTH_CHECKING = 256 << 20  # bytes that are decoded in well under a minute
_AT_ONCE = 1024  # images that wait for a thread


class LazyImages(ImageDataset):
    """Images of a folder or zip, decoded one by one when they are taken.

    Args:
        tree: Where the files are.
        files: Path of each image.
        names: Name of each image.
        classes: Class names.
        labels: Class of each image, or None.
        masks: Path of each mask, or None.
        known: Of masks: the class of each value 0 to 255, -1 for values that must not occur.
        ignore_index: Value of a mask's pixels without a class.
    """

    def __init__(
        self,
        tree: FileTree,
        files: Sequence[str],
        names: Sequence[str],
        classes: Sequence[str],
        labels: Tensor | None,
        masks: Sequence[str] | None = None,
        known: np.ndarray | None = None,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__(names, classes, labels, ignore_index)
        self._tree = tree
        self._files = tuple(files)
        self._masks = None if masks is None else tuple(masks)
        self._known = known

    def check(
        self,
        root: str | os.PathLike[str] | None,
        strict: bool,
        check: bool | None,
        progress: bool | None,
    ) -> None:
        """Decodes all files once and takes those out that do not decode.

        Args:
            root: Where the verdict is kept, under ``processed/``.
            strict: Raise at the first.
            check: :obj:`None` does it for up to 256 MiB.
            progress: Whether to show a bar.

        Raises:
            DataError: All are bad, a mask has another size than its image or an unknown class, or
                one is bad with ``strict``.
        """
        if check is None:
            check = self._at_most(_WORTH_CHECKING)
        if not check:
            return
        bad = dict(self._verdict(root, strict, progress))
        if bad and len(bad) == len(self):
            raise DataError(
                f"{self._tree.source}: none of its {len(bad)} images can be used; "
                f"{next(iter(bad.values()))}"
            )
        self.bad_files = tuple((self.names[i], reason) for i, reason in bad.items())
        if bad:
            self._take(torch.tensor([i for i in range(len(self)) if i not in bad]))

    def _load(self, index: int) -> tuple[Tensor, Tensor | None]:
        try:
            image = decode_image(*self._read(self._files[index]))
            if self._masks is None:
                return image, None
            mask = self._mask(index, (image.size(1), image.size(2)))
        except UndecodableError as error:
            message = f"{error}; open the data set with check=True to leave such files out"
            raise DataError(message) from error
        return image, torch.from_numpy(mask)

    def _take(self, indices: Tensor) -> None:
        super()._take(indices)
        self._files = tuple(self._files[i] for i in indices.tolist())
        if self._masks is not None:
            self._masks = tuple(self._masks[i] for i in indices.tolist())

    def _read(self, path: str) -> tuple[bytes, str]:
        return self._tree.read(path), self._tree.name(path)

    def _mask(self, index: int, size: tuple[int, int]) -> np.ndarray:
        assert self._masks is not None
        assert self._known is not None
        path = self._masks[index]
        ids = decode_mask(*self._read(path))
        name = self._tree.name(path)
        if ids.shape != size:
            raise DataError(
                f"{name}: is {ids.shape[1]} x {ids.shape[0]} pixels, its image "
                f"{self._files[index]} {size[1]} x {size[0]}"
            )
        mapped = self._known[ids]
        if mapped.min() < 0:
            wrong = ids[mapped < 0]
            raise DataError(
                f"{name}: holds the class id {wrong[0]} at {wrong.size} pixels; known are "
                f"{_ranges(np.flatnonzero(self._known >= 0))}"
            )
        return mapped.astype(np.uint8)

    def _fault(self, index: int) -> str | None:
        """Why an image is left out, if it is."""
        try:
            size = probe_image(*self._read(self._files[index]))
            if self._masks is not None:
                self._mask(index, size)
        except UndecodableError as error:
            return str(error)
        return None

    def _faults(self, progress: bool | None, strict: bool) -> Iterator[tuple[int, str]]:
        with (
            ThreadPoolExecutor(min(8, usable_processors())) as pool,
            progress_bar(progress, total=len(self), desc="Checking", unit=" images") as bar,
        ):
            for start in range(0, len(self), _AT_ONCE):
                part = range(start, min(start + _AT_ONCE, len(self)))
                for index, reason in zip(part, pool.map(self._fault, part)):
                    bar.update()
                    if reason is not None:
                        if strict:
                            raise DataError(reason)
                        yield index, reason

    def _verdict(
        self, root: str | os.PathLike[str] | None, strict: bool, progress: bool | None
    ) -> list[tuple[int, str]]:
        """``(index, reason)`` of each bad image, from the cache where there is one."""
        if root is None:
            return list(self._faults(progress, strict))
        files = [*self._files, *(self._masks or ())]
        settings = {
            "classes": self.classes,
            "files": files,
            "fingerprint": self._tree.fingerprint(files),
            "known": None if self._known is None else self._known.tolist(),
        }
        path = cache_path(Path(root).expanduser(), "checked", settings).with_suffix(".json")

        def build() -> list[tuple[int, str]]:
            return list(self._faults(progress, strict))

        return build_once(path, _load_verdict, build, _save_verdict)

    def _at_most(self, most: int) -> bool:
        total = 0
        for path in (*self._files, *(self._masks or ())):
            total += self._tree.size(path)
            if total > most:  # a million files need not all be asked
                return False
        return True


def known_ids(num_classes: int, ignore_index: int) -> np.ndarray:
    """Masks that hold class indices and ``ignore_index``, for :class:`LazyImages`."""
    known = np.full(256, -1, dtype=np.int16)
    known[:num_classes] = np.arange(num_classes)
    known[ignore_index] = ignore_index
    return known


def _ranges(values: np.ndarray) -> str:
    runs = np.split(values, np.flatnonzero(np.diff(values) != 1) + 1)
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _load_verdict(path: Path) -> list[tuple[int, str]] | None:
    try:
        return [(int(index), str(reason)) for index, reason in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return None


def _save_verdict(path: Path, bad: list[tuple[int, str]]) -> None:
    with atomic_write(path, "w", encoding="utf-8") as file:
        json.dump(bad, file)
