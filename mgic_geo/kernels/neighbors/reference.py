"""Neighbours and farthest points in plain torch, by all distances: no branch depends on data."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Above about this many dimensions a KD-tree visits nearly every point.
KDTREE_MAX_DIM = 8


def neighbor_table_reference(
    x: Tensor,
    y: Tensor,
    k: int,
    batch_x: Tensor | None = None,
    batch_y: Tensor | None = None,
    clouds: int = 1,
    radius: float | None = None,
    own: bool = False,
    cosine: bool = False,
    workers: int = 0,
    backend: str = "auto",
) -> Tensor:
    """What :func:`~mgic_geo.kernels.neighbor_table` computes."""
    if cosine:
        x, y = F.normalize(x, dim=-1), F.normalize(y, dim=-1)
    x, y = x.detach(), y.detach()
    if batch_x is None and batch_y is None:
        per_cloud = x.size(0) // clouds
        start = per_cloud * torch.arange(clouds, device=x.device).view(-1, 1, 1)
        near_x, near_y = x.unflatten(0, (clouds, -1)), y.unflatten(0, (clouds, -1))
        apart = None
    else:
        near_x, near_y, start = x.unsqueeze(0), y.unsqueeze(0), x.new_zeros(1).long()
        of_x = x.new_zeros(x.size(0)) if batch_x is None else batch_x
        of_y = y.new_zeros(y.size(0)) if batch_y is None else batch_y
        apart = (of_y.unsqueeze(1) != of_x.unsqueeze(0)).unsqueeze(0)
    if radius is None:
        table, distance = nearest(near_x, near_y, k, apart, 0 if own else None)
        absent = distance.isinf()
    else:
        most = min(k, near_x.size(1))
        table, distance = nearest(near_x, near_y, most, apart, 0 if own else None)
        table = F.pad(table, (0, k - most))
        distance = F.pad(distance, (0, k - most), value=math.inf)
        absent = ~(distance <= radius) | distance.isinf()
    return torch.where(absent, -1, table + start).flatten(0, 1)


def nearest(
    x: Tensor, y: Tensor, k: int, apart: Tensor | None = None, own_row: int | None = None
) -> tuple[Tensor, Tensor]:
    """Indices and distances of the ``k`` nearest points, ``[B, M, k]`` each.

    Args:
        x: ``[B, N, D]``.
        y: ``[B, M, D]``.
        k: Number of neighbours.
        apart: Which pairs do not count, ``[B, M, N]``.
        own_row: ``y`` are the points of ``x`` from this one on, and none is its own neighbour.
    """
    # The expansion |x|^2 - 2 x y + |y|^2 loses the small distances, which are the ones that count.
    low = x.size(-1) <= KDTREE_MAX_DIM
    mode = "donot_use_mm_for_euclid_dist" if low else "use_mm_for_euclid_dist_if_necessary"
    distance = torch.cdist(y, x, compute_mode=mode)
    if own_row is not None:
        numbers = torch.arange(own_row, own_row + y.size(1), device=x.device)
        itself = numbers.unsqueeze(-1) == torch.arange(x.size(1), device=x.device)
        distance = distance.masked_fill(itself, math.inf)
    if apart is not None:
        distance = distance.masked_fill(apart, math.inf)
    values, table = distance.topk(k, largest=False, sorted=True)
    return table, values


def farthest_points_reference(
    pos: Tensor,
    num_points: int,
    seed: int,
    batch: Tensor | None = None,
    counts: Tensor | None = None,
    first: Tensor | None = None,
) -> Tensor:
    """What :func:`~mgic_geo.kernels.farthest_points` computes."""
    sizes, first = first_points(pos, seed, batch, first)
    starts = sizes.cumsum(0) - sizes
    pos = pos.detach().double()
    if batch is None:
        cloud, valid = pos.unsqueeze(0), torch.ones(1, 1, dtype=torch.bool, device=pos.device)
    else:  # all clouds at once, filled up to the largest
        column = torch.arange(int(sizes.max()), device=pos.device)
        valid = column < sizes[:, None]
        cloud = pos[(starts[:, None] + column).clamp(max=pos.size(0) - 1)]
    # What is filled up and what was picked has distance -1.
    distance = torch.where(valid, torch.inf, -1.0).to(pos.dtype).expand(cloud.shape[:2])
    column = torch.arange(cloud.size(1), device=pos.device)
    picked = [first]
    most = num_points if counts is None else int(counts.max())
    for step in range(most):
        current = picked[step].unsqueeze(-1)
        place = current.unsqueeze(-1).expand(-1, -1, cloud.size(2))
        offset = cloud - cloud.gather(1, place)
        # Summed axis by axis: the same rounding as the compiled loop, hence the same ties.
        squared = offset[..., 0] * offset[..., 0]
        for axis in range(1, pos.size(1)):
            squared = squared + offset[..., axis] * offset[..., axis]
        distance = torch.minimum(distance, squared)
        distance = torch.where(column == current, -1.0, distance)
        picked.append(distance.argmax(dim=1))
    table = torch.stack(picked[:most], dim=1) + starts[:, None]
    if counts is None:
        return table.flatten()
    return table[torch.arange(most, device=pos.device) < counts[:, None]]


def first_points(
    pos: Tensor, seed: int, batch: Tensor | None, first: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sizes of the clouds that have points, and where in each the sampling starts."""
    if batch is None:
        sizes = torch.full((1,), pos.size(0), device=pos.device)
    else:
        sizes = torch.bincount(batch)
        sizes = sizes[sizes > 0]
    if first is None:
        first = (np.random.default_rng(seed).random() * sizes.double()).long()
    return sizes, torch.minimum(first, sizes - 1)
