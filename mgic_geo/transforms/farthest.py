"""Farthest-point sampling, exact and the same with every backend."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mgic_geo.errors import DataError


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
