"""Points from surfaces and clouds; every draw follows from the seed alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mgic_geo._optional import require
from mgic_geo.errors import DataError

Seed: TypeAlias = "int | np.random.Generator"
Floats: TypeAlias = "npt.NDArray[np.float64]"


def sample_surface(
    vertices: npt.ArrayLike, faces: npt.ArrayLike, num_points: int, seed: Seed = 0
) -> Floats:
    r"""Draws points uniformly by area from a triangle mesh.

    A face is drawn with probability :math:`A_f / \sum_g A_g`, then a point in it as
    :math:`(1-\sqrt{u})\,a + \sqrt{u}\,(1-v)\,b + \sqrt{u}\,v\,c` with uniform :math:`u, v`.
    Degenerate faces are never drawn.

    Args:
        vertices: Corners, ``[V, 3]``.
        faces: Triangles, ``[F, 3]``, indices into ``vertices``.
        num_points: Number of points.
        seed: Integer, or a generator that is advanced.

    Returns:
        Points ``[num_points, 3]`` in the units of ``vertices``.

    Raises:
        DataError: No face, a face past the vertices, coordinates that are not finite, no area.
    """
    rng = np.random.default_rng(seed)
    corner, edge1, edge2 = _triangles(vertices, faces)
    if num_points < 1:
        raise DataError(f"num_points must be at least 1, got {num_points}")
    cumulative = np.cumsum(0.5 * np.linalg.norm(np.cross(edge1, edge2), axis=1))
    if not np.isfinite(cumulative[-1]):
        raise DataError("the mesh has NaN or infinite coordinates; remove or repair those vertices")
    if cumulative[-1] <= 0.0:
        raise DataError(f"the mesh has {len(corner)} faces but no area: nothing to sample")
    draws = rng.random((3, num_points))
    face = np.searchsorted(cumulative, draws[0] * cumulative[-1], side="right")
    # u * total can round up to total; the last face that has area owns that end.
    face = np.minimum(face, np.searchsorted(cumulative, cumulative[-1]))
    root = np.sqrt(draws[1])[:, None]
    share = draws[2][:, None]
    points: Floats = corner[face] + root * ((1.0 - share) * edge1[face] + share * edge2[face])
    return points


def poisson_disk(
    vertices: npt.ArrayLike, faces: npt.ArrayLike, num_points: int, seed: Seed = 0
) -> Floats:
    """Draws blue-noise points from a triangle mesh: random, yet evenly spread.

    Weighted sample elimination (Yuksel, "Sample Elimination for Generating Poisson Disk Sample
    Sets", 2015) by Open3D (extra ``mesh``), from five times as many points of
    :func:`sample_surface`; so the seed decides alone, not Open3D's global generator.

    Args:
        vertices: Corners, ``[V, 3]``.
        faces: Triangles, ``[F, 3]``, indices into ``vertices``.
        num_points: Number of points, at least 2.
        seed: Integer, or a generator that is advanced.

    Returns:
        Points ``[num_points, 3]`` in the units of ``vertices``.

    Raises:
        DataError: As for :func:`sample_surface`.
        ImportError: Open3D is missing.
    """
    if num_points < 2:
        raise DataError(f"poisson_disk needs num_points of at least 2, got {num_points}")
    open3d = require("open3d", extra="mesh")
    candidates = sample_surface(vertices, faces, 5 * num_points, seed)
    mesh = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(np.asarray(vertices, dtype=np.float64)),
        open3d.utility.Vector3iVector(np.asarray(faces, dtype=np.int32)),
    )
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(candidates))
    kept = mesh.sample_points_poisson_disk(number_of_points=num_points, pcl=cloud)
    return np.asarray(kept.points, dtype=np.float64).copy()


def farthest_point_sample(
    pos: Tensor, num_points: int, seed: int = 0, batch: Tensor | None = None
) -> Tensor:
    r"""Picks points one by one, each the farthest from those picked before.

    :math:`i_{t+1} = \arg\max_i \min_{s \le t} \lVert p_i - p_{i_s} \rVert`, exactly and in double
    precision; the first is random, ties go to the smaller index, and no index comes twice. Numba
    runs it on the CPU where it is installed, plain torch elsewhere: same result. (PyG's ``fps``
    needs ``pyg-lib``.)

    Args:
        pos: Points, ``[N, D]``.
        num_points: Number of points to pick from each cloud.
        seed: Decides the first point; a cloud's result does not depend on its batch.
        batch: Sorted cloud index of each point, ``[N]``; one cloud if not given.

    Returns:
        Indices into ``pos``, ``[B * num_points]``, cloud after cloud, in the order of picking.

    Raises:
        DataError: A cloud with fewer points than asked for, or coordinates that are not finite.
    """
    if pos.dim() != 2 or pos.size(0) == 0:
        raise DataError(f"pos must be [N, D] with N >= 1, got shape {list(pos.shape)}")
    if not bool(torch.isfinite(pos).all()):
        raise DataError("pos has NaN or infinite coordinates; drop those points first")
    if batch is None:
        counts = torch.tensor([pos.size(0)], device=pos.device)
    else:
        if bool((batch[1:] < batch[:-1]).any()):
            raise DataError("batch must be sorted, as PyG's loaders give it")
        counts = torch.bincount(batch)
        counts = counts[counts > 0]
    if not 1 <= num_points <= int(counts.min()):
        raise DataError(
            f"cannot pick {num_points} points from a cloud of {int(counts.min())}: "
            "ask for at least 1 and at most all"
        )
    first = (np.random.default_rng(seed).random() * counts.double()).long()
    first = torch.minimum(first, counts - 1)
    starts = counts.cumsum(0) - counts
    kernel = _fps_numba() if pos.device.type == "cpu" else None
    if kernel is None:
        return _fps_torch(pos.detach().double(), starts, counts, first, num_points)
    points = pos.detach().double().contiguous().numpy()
    return torch.from_numpy(
        kernel(points, starts.numpy(), counts.numpy(), first.numpy(), num_points)
    )


def _triangles(vertices: npt.ArrayLike, faces: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Returns the first corner and the two edges from it of every face, ``[F, 3]`` each."""
    corners = np.asarray(vertices, dtype=np.float64)
    index = np.asarray(faces)
    if corners.ndim != 2 or corners.shape[1] != 3 or index.ndim != 2 or index.shape[1] != 3:
        raise DataError(
            f"a mesh is vertices [V, 3] and faces [F, 3], got {corners.shape} and {index.shape}"
        )
    if len(index) == 0:
        raise DataError("the mesh has no faces: nothing to sample")
    if index.min() < 0 or index.max() >= len(corners):
        raise DataError(
            f"a face names vertex {index.max() if index.min() >= 0 else index.min()}, "
            f"but the mesh has {len(corners)} vertices (0 to {len(corners) - 1})"
        )
    first, second, third = (corners[index[:, column]] for column in range(3))
    return first, second - first, third - first


def _fps_torch(pos: Tensor, starts: Tensor, counts: Tensor, first: Tensor, num: int) -> Tensor:
    """All clouds at once, padded to the largest; padding and picked points have distance -1."""
    column = torch.arange(int(counts.max()), device=pos.device)
    valid = column < counts[:, None]
    cloud = pos[(starts[:, None] + column).clamp_(max=pos.size(0) - 1)]
    distance = torch.where(valid, torch.inf, -1.0).to(pos.dtype)
    row = torch.arange(len(counts), device=pos.device)
    picked = torch.empty(len(counts), num, dtype=torch.long, device=pos.device)
    current = first
    for step in range(num):
        picked[:, step] = current
        offset = cloud - cloud[row, current][:, None]
        # Summed axis by axis: the same rounding as the compiled kernel, hence the same ties.
        squared = offset[..., 0] * offset[..., 0]
        for axis in range(1, pos.size(1)):
            squared = squared + offset[..., axis] * offset[..., axis]
        distance = torch.minimum(distance, squared)
        distance[row, current] = -1.0
        current = distance.argmax(dim=1)
    return (picked + starts[:, None]).flatten()


@lru_cache(maxsize=1)
def _fps_numba() -> Callable[..., npt.NDArray[np.int64]] | None:
    """The compiled kernel, or None where Numba does not import."""
    try:
        import numba
    except ImportError:
        return None

    def kernel(pos, starts, counts, first, num):  # type: ignore[no-untyped-def]
        picked = np.empty(len(counts) * num, dtype=np.int64)
        for b in range(len(counts)):
            cloud = pos[starts[b] : starts[b] + counts[b]]
            distance = np.full(counts[b], np.inf)
            current = first[b]
            for step in range(num):
                picked[b * num + step] = current + starts[b]
                farthest, best = 0, -2.0
                for i in range(counts[b]):
                    squared = 0.0
                    for axis in range(cloud.shape[1]):
                        offset = cloud[i, axis] - cloud[current, axis]
                        squared += offset * offset
                    if i == current:
                        squared = -1.0
                    distance[i] = min(distance[i], squared)
                    if distance[i] > best:
                        farthest, best = i, distance[i]
                current = farthest
        return picked

    compiled: Callable[..., npt.NDArray[np.int64]]
    try:
        compiled = numba.njit(nogil=True, cache=True)(kernel)
    except RuntimeError:  # no folder that a cache could be written to
        compiled = numba.njit(nogil=True)(kernel)
    return compiled
