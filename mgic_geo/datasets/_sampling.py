"""From a mesh or a cloud to a fixed number of points; one shape, or thousands in parallel."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from mgic_geo._processors import usable_processors
from mgic_geo.errors import DataError, MgicGeoError
from mgic_geo.io import Mesh, PointCloud, check_cloud, read_shape
from mgic_geo.io._progress import progress_bar
from mgic_geo.io.features import cloud_features, mesh_features
from mgic_geo.transforms import farthest_point_sample, poisson_disk
from mgic_geo.transforms.sampling import surface_places

SAMPLINGS = ("surface", "fps", "poisson")
_CHUNK = 16  # shapes a worker gets at a time
_WORTH_WORKERS = 10.0  # seconds left; a process takes about 4 to import what it needs
_AHEAD = 2  # chunks that wait for a worker or are with it, so that it need not wait for one


class Sampled(NamedTuple):
    """Points of a shape ``[n, 3 + F]``, and how many of its file are nowhere."""

    points: NDArray[np.float32]
    left_out: int = 0


_Result: TypeAlias = Sampled | Exception


@dataclass(frozen=True)
class SamplingTask:
    """One file to sample; ``seed`` is the shape's own (see :func:`shape_seed`)."""

    file: Path
    num_points: int
    sampling: str
    seed: int
    features: tuple[str, ...] = ()


def shape_seed(seed: int, class_name: str, name: str) -> int:
    """A seed in ``[0, 2**31)`` for one shape: the same whoever samples it, and when."""
    digest = hashlib.sha256(f"{seed}\0{class_name}\0{name}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def sample_points(
    shape: Mesh | PointCloud | NDArray[np.floating],
    num_points: int,
    sampling: str = "surface",
    seed: int = 0,
    name: str | os.PathLike[str] = "shape",
    features: Sequence[str] = (),
) -> NDArray[np.float32]:
    """Samples exactly ``num_points`` points of a mesh or a cloud.

    Args:
        shape: A mesh, or a cloud, or its points ``[N, 3]``. A cloud of exactly ``num_points`` stays
            as it is.
        num_points: Points to return.
        sampling: ``"surface"``: at random, by area (of a cloud: a random subset); ``"fps"``:
            farthest points (of a mesh: among four times as many random ones); ``"poisson"``:
            Poisson disks (meshes only, needs the extra ``mesh``).
        seed: Same seed, same points.
        name: What the error message calls it, usually its file.
        features: Names of :data:`mgic_geo.io.FEATURES` that stand behind the coordinates, see
            :func:`~mgic_geo.io.features.mesh_features`.

    Returns:
        Points ``[num_points, 3 + F]``, the coordinates in the shape's units.

    Raises:
        DataError: A cloud has too few points, the shape is unusable, or lacks a feature.

    Example:
        >>> from mgic_geo.datasets import sample_points
        >>> from mgic_geo.io import Mesh
        >>> mesh = Mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], faces=[[0, 1, 2]])
        >>> points = sample_points(mesh, num_points=16, seed=0)
        >>> points.shape
        (16, 3)
        >>> sample_points(points, num_points=4, sampling="fps").shape  # fewer points of a cloud
        (4, 3)
    """
    check_sampling(num_points, sampling)
    if isinstance(shape, Mesh):
        count = 4 * num_points if sampling == "fps" else num_points
        if sampling == "poisson":
            if features:
                raise DataError(f"{name}: Poisson disks have no features; use 'surface' or 'fps'")
            points = poisson_disk(shape.vertices, shape.faces, count, seed)
        else:
            points, face, weights = surface_places(shape.vertices, shape.faces, count, seed)
            beside = mesh_features(shape, features, face, weights, name)
            points = np.concatenate([points, beside], axis=1)
    else:
        cloud = shape if isinstance(shape, PointCloud) else PointCloud(check_cloud(shape, name))
        points = np.concatenate([cloud.points, cloud_features(cloud, features, name)], axis=1)
        if sampling == "poisson":
            raise DataError(f"{name}: a cloud; Poisson-disk sampling needs a mesh, use 'fps'")
        if len(points) < num_points:
            raise DataError(
                f"{name}: has {len(points)} points, {num_points} asked; "
                f"ask for at most {len(points)}"
            )
    if len(points) > num_points:
        if sampling == "fps":
            where = torch.from_numpy(points[:, :3])
            points = points[farthest_point_sample(where, num_points, seed)]
        else:
            rng = np.random.default_rng(seed)
            points = points[rng.choice(len(points), num_points, replace=False)]
    with np.errstate(over="ignore"):
        single = points.astype(np.float32)
    if not np.isfinite(single).all():
        raise DataError(f"{name}: coordinates too large for single precision; scale the shape")
    return single


def check_sampling(num_points: int, sampling: str) -> None:
    """Raises :class:`DataError` for settings that no shape could fulfil."""
    if num_points < 1:
        raise DataError(f"num_points must be at least 1, got {num_points}")
    if sampling not in SAMPLINGS:
        raise DataError(f"sampling must be one of {', '.join(SAMPLINGS)}, got {sampling!r}")


def sample_files(
    tasks: Sequence[SamplingTask],
    workers: int | None = None,
    strict: bool = False,
    progress: bool | None = None,
) -> list[_Result]:
    """Samples files, over several processes where that pays.

    Args:
        tasks: The files.
        workers: Processes, this one included; :obj:`None` starts alone, and takes as many as the
            processors if more than ten seconds of work are left.
        strict: Raise at the first unusable file.
        progress: Whether to show a bar; :obj:`None`: where the error output is a terminal.

    Returns:
        For each task its :class:`Sampled` points, or the error. Independent of ``workers``.

    Raises:
        DataError: With ``strict``, a file is unusable.
    """
    chunks = [tasks[i : i + _CHUNK] for i in range(0, len(tasks), _CHUNK)]
    results: list[_Result] = []
    with (
        progress_bar(progress, total=len(tasks), desc="Sampling", unit=" shapes") as bar,
        # closed at once, so that no worker outlives an error or Ctrl-C
        closing(_sample_chunks(chunks, workers)) as parts,
    ):
        for part in parts:
            results += part
            bar.update(len(part))
            if strict and (errors := [result for result in part if isinstance(result, Exception)]):
                raise errors[0]
    return results


def _sample_chunk(tasks: Sequence[SamplingTask]) -> list[_Result]:
    return [_sample_file(task) for task in tasks]


def _sample_file(task: SamplingTask) -> _Result:
    try:
        with warnings.catch_warnings():  # of points that are nowhere, a line for each of thousands
            warnings.filterwarnings("ignore", ".*are left out", UserWarning)
            shape = read_shape(task.file)
        points = sample_points(
            shape, task.num_points, task.sampling, task.seed, task.file, task.features
        )
        return Sampled(points, shape.left_out if isinstance(shape, PointCloud) else 0)
    except (DataError, OSError) as error:
        return error


def _sample_chunks(
    chunks: Sequence[Sequence[SamplingTask]], workers: int | None
) -> Generator[list[_Result], None, None]:
    """This process takes chunks from the front, the others, once started, from the back."""
    front, back = 0, len(chunks)
    most = (usable_processors() if workers is None else workers) - 1
    pool: ProcessPoolExecutor | None = None
    futures: dict[int, Future[list[_Result]]] = {}
    start = time.monotonic()
    try:
        while front < back:
            left = (time.monotonic() - start) / max(front, 1) * (back - front)
            if pool is None and most > 0 and (workers is not None or left > _WORTH_WORKERS):
                # never fork: torch and Numba may have threads by now
                context = multiprocessing.get_context("spawn")
                pool = ProcessPoolExecutor(min(most, back - front), context, _start_worker)
            waiting = sum(not future.done() for future in futures.values())
            while pool is not None and waiting < _AHEAD * most and front < back:
                back, waiting = back - 1, waiting + 1
                with _no_main_module():  # a submission may start a process
                    futures[back] = pool.submit(_sample_chunk, chunks[back])
            if front < back:
                yield _sample_chunk(chunks[front])
                front += 1
        for index in range(back, len(chunks)):
            yield futures[index].result()
    except BrokenProcessPool as error:
        raise MgicGeoError(
            "a worker process died while sampling, perhaps for lack of memory; "
            "try fewer with workers=1"
        ) from error
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(1)


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keeps the workers from running the user's script once more, guarded or not.

    They need nothing of it; a started process imports what ``__main__`` says it came from.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
