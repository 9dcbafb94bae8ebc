"""A user's own shapes as a data set."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch_geometric.data import Data

from mgic_geo.datasets._bad import report_bad
from mgic_geo.datasets._base import CloudDataset, as_tensors
from mgic_geo.datasets._cache import (
    SampledClouds,
    build_once,
    cache_path,
    load_cache,
    save_cache,
)
from mgic_geo.datasets._npz import relabel, sample_clouds, select_split
from mgic_geo.datasets._sampling import (
    Sampled,
    SamplingTask,
    check_sampling,
    sample_files,
    shape_seed,
)
from mgic_geo.datasets._tree import SUFFIXES, ShapeFile, find_shapes
from mgic_geo.datasets._unzip import zip_digest
from mgic_geo.errors import DataError
from mgic_geo.io import load_clouds_h5, load_clouds_npz, parse_features
from mgic_geo.io.hdf5 import SUFFIXES as HDF5_SUFFIXES
from mgic_geo.io.hdf5 import hdf5_files


class PointClouds(CloudDataset):
    """Clouds of ``num_points`` points from files: items ``Data(pos=[n, 3], y=[1], name=str)``.

    Each shape is sampled once, by a seed of its own that follows from ``seed``, its class and its
    name, so that neither order nor number of workers matters. Unusable shapes are left out with
    one warning at the end that names them; they are in :attr:`bad_files`, too.

    Args:
        source: A folder ``<class>/*`` (or ``<class>/<split>/*``) of meshes and clouds in any format
            of :func:`mgic_geo.io.read_cloud_or_mesh` (points that are nowhere are left out); or one
            NPZ as :func:`mgic_geo.io.load_clouds_npz` reads it; or HDF5, a file or a folder of
            them, as :func:`mgic_geo.io.load_clouds_h5` does.
        root: Where sampled clouds are kept, under ``processed/``, one file for each combination of
            settings and file names and sizes; several processes may share it. :obj:`None` keeps
            none. (Of an NPZ only farthest-point samples are kept: the rest is as fast as a cache.)
        classes: The classes, which give the labels; by default those of the source.
        split: The folder below each class; of an NPZ, the part that its array ``split`` says.
        num_points: Points a cloud.
        sampling: ``"surface"``, ``"fps"`` or ``"poisson"``, see
            :func:`mgic_geo.datasets.sample_points`.
        seed: Seed of the sampling.
        transform: Called with each item that is taken.
        workers: Processes that read files; 1 stays in this one, :obj:`None` chooses.
        strict: Raise at the first unusable shape.
        force_reload: Sample again even if there is a cache.
        progress: Whether to show a bar; :obj:`None`: where the error output is a terminal.
        features: Names of :data:`mgic_geo.io.FEATURES`, a list or one text with commas, that items
            have as ``x=[n, F]``: ``"normals"`` (of unit length; a mesh without has those of its
            triangles), ``"colors"`` and ``"intensity"`` (in [0, 1]). Shapes that lack one are
            unusable.

    Attributes:
        classes: Class names; ``num_classes`` is their number.
        bad_files: ``(name, reason)`` of every shape that was left out.

    Raises:
        DataError: The source, or with ``strict`` a shape, is unusable.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.datasets import PointClouds
        >>> from mgic_geo.testing import write_tiny_off_tree
        >>> with TemporaryDirectory() as folder:
        ...     tree = write_tiny_off_tree(folder, shapes=2)  # <class>/<split>/*.off
        ...     dataset = PointClouds(tree, split="train", num_points=64, workers=1)
        >>> len(dataset), dataset.classes
        (6, ('bed', 'dresser', 'monitor'))
        >>> dataset[0]
        Data(y=[1], pos=[64, 3], name='bed_0001')
    """

    suffixes: Sequence[str] = SUFFIXES

    def __init__(
        self,
        source: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        classes: Sequence[str] | None = None,
        split: str | None = None,
        num_points: int = 1024,
        sampling: str = "surface",
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
        workers: int | None = None,
        strict: bool = False,
        force_reload: bool = False,
        progress: bool | None = None,
        features: str | Sequence[str] = (),
    ) -> None:
        features = parse_features(features)
        check_sampling(num_points, sampling)
        source = Path(source).expanduser()
        root = None if root is None else Path(root).expanduser()
        if not source.exists():
            raise DataError(f"{source}: no such file or folder")
        settings: dict[str, Any] = {
            "split": split,
            "num_points": num_points,
            "sampling": sampling,
            "seed": seed,
        }
        if features:  # without them caches keep their names
            settings["features"] = features
        names: tuple[str, ...]
        if source.suffix.lower() == ".npz" or _is_hdf5(source):
            if source.suffix.lower() == ".npz":
                fingerprint, found = zip_digest(source), load_clouds_npz(source)
            else:
                files = hdf5_files(source)
                fingerprint = _fingerprint((file.name, file) for file in files)
                found = load_clouds_h5(source, split if len(files) > 1 else None)
            cacheable = sampling == "fps"
            clouds = relabel(select_split(found, split, source), classes, source)
            names = clouds.classes

            def build() -> SampledClouds:
                results = sample_clouds(
                    clouds, num_points, sampling, seed, strict, source, features
                )
                return _collect(results, clouds.label.tolist(), clouds.name, source)
        else:
            cacheable = True
            names, shapes = find_shapes(source, classes, split, self.suffixes)
            fingerprint = _tree_fingerprint(shapes)

            def build() -> SampledClouds:
                tasks = [
                    SamplingTask(
                        s.file,
                        num_points,
                        sampling,
                        shape_seed(seed, s.class_name, s.name),
                        features,
                    )
                    for s in shapes
                ]
                results = sample_files(tasks, workers, strict, progress)
                return _collect(
                    results, [s.label for s in shapes], [s.name for s in shapes], source
                )

        settings.update(classes=names, fingerprint=fingerprint)
        if root is None or not cacheable:
            sampled = build()
        else:
            path = cache_path(root, split or "all", settings)
            sampled = build_once(path, load_cache, build, save_cache, force_reload)
        report_bad(sampled.bad_files, len(sampled.names), source, strict, "shapes")
        if sampled.nowhere:
            points, holed = sampled.nowhere
            warnings.warn(
                f"{source}: {points:,} points of {holed:,} of its {len(sampled.names):,} shapes "
                "have NaN or infinite coordinates and are left out",
                stacklevel=2,
            )
        super().__init__(
            sampled.points, sampled.labels, names, sampled.names, root, transform, features
        )
        self.sampling, self.seed, self.split = sampling, seed, split
        self.bad_files = sampled.bad_files


def _tree_fingerprint(shapes: Sequence[ShapeFile]) -> str:
    return _fingerprint((f"{s.class_name}/{s.file.name}", s.file) for s in shapes)


def _fingerprint(files: Iterable[tuple[str, Path]]) -> str:
    """Of names and sizes, so that a tree that moved keeps its cache."""
    digest = hashlib.sha256()
    for name, file in files:
        digest.update(f"{name} {file.stat().st_size}\n".encode())
    return digest.hexdigest()


def _is_hdf5(source: Path) -> bool:
    """Whether it is a file, or a folder of files alone, in the layout of HDF5 archives."""
    if not source.is_dir():
        return source.suffix.lower() in HDF5_SUFFIXES
    folders = any(entry.is_dir() and not entry.name.startswith(".") for entry in source.iterdir())
    return not folders and bool(hdf5_files(source))


def _collect(
    results: Sequence[Sampled | Exception],
    labels: Sequence[int],
    names: Sequence[str],
    source: Path,
) -> SampledClouds:
    good: dict[int, Sampled] = {}
    bad: dict[int, Exception] = {}
    for i, result in enumerate(results):
        if isinstance(result, Exception):
            bad[i] = result
        else:
            good[i] = result
    left_out = [shape.left_out for shape in good.values() if shape.left_out]
    if not good:
        raise DataError(f"{source}: none of its {len(results)} shapes can be used; {bad[0]}")
    return SampledClouds(
        *as_tensors(np.stack([shape.points for shape in good.values()]), [labels[i] for i in good]),
        names=tuple(names[i] for i in good),
        bad_files=tuple((names[i], str(error)) for i, error in bad.items()),
        lasting=not any(isinstance(error, OSError) for error in bad.values()),
        nowhere=(sum(left_out), len(left_out)) if left_out else None,
    )
