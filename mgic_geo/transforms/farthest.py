"""Farthest-point sampling, exact and the same with every backend."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.kernels import _dispatch


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
    pos = pos.detach().double()
    if not _finite(pos):
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
    if _dispatch.compiled is None or pos.device.type != "cpu":
        return _fps_torch(pos, starts, counts, first, num_points)
    from mgic_geo.kernels._numba_sampling import farthest_points

    points = np.array(pos.numpy(), order="C")
    ptr = np.append(starts.numpy(), pos.size(0))
    workers = torch.get_num_threads()
    return torch.from_numpy(farthest_points(points, ptr, first.numpy(), num_points, workers))


def _finite(pos: Tensor) -> bool:
    if pos.device.type == "cpu":
        return bool(np.isfinite(pos.numpy()).all())  # wakes none of torch's threads
    return bool(torch.isfinite(pos).all())


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
