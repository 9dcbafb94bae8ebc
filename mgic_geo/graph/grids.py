"""Nested grids of points, thinner and thinner, and the graphs on and between them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mgic_geo.graph.neighborhoods import Neighborhoods
from mgic_geo.graph.operators import DifferentialOperators, differential_operators
from mgic_geo.kernels.neighbors import neighbor_table

LEAST = 16
"""Points that no grid of a cloud falls below."""
REACH = 4
"""Which neighbour of a point must be near: thin legs have few, so that a later one would be far."""
OVERLAP = 16
"""Neighbours on the next finer grid."""
_CELLS = 64.0  # a power of two: products with it are exact on every engine
_WEIGHTS = (0.7548776662466927, 0.5698402909980532, 1.3247179572447460)


class Grid(NamedTuple):
    """One grid of clouds.

    Args:
        pos: Its points ``[N, 3]``.
        batch: Cloud of each point ``[N]``, None for clouds of one size.
        graph: Their neighbours on this grid, as operators or as they are.
        finer: Neighbours of each point on the next finer grid; on the finest one this is ``graph``
            without operators, and never read.
        stray: Whether a point is a stray ``[N]``, None where nobody asked.
    """

    pos: Tensor
    batch: Tensor | None
    graph: DifferentialOperators | Neighborhoods
    finer: Neighborhoods
    stray: Tensor | None


def scattered_keys(pos: Tensor, batch: Tensor | None = None) -> Tensor:
    r"""A number in [0, 1) for each point that looks random and follows from its position alone.

    :math:`\operatorname{frac}(w \cdot \operatorname{frac}(64\,(p - p_{\min}) / \ell))` with the
    corner :math:`p_{\min}` and the longest side :math:`\ell` of the cloud's box and irrational
    weights :math:`w`: the place of the point inside a cell that is finer than the cloud. Points in
    the order of their keys are a random order that neither the file's order nor the unit of length
    changes; the first part of it is a thinner cloud. The factor is a power of two, so that engines
    which round products in another way give the same numbers but for the last digit.

    Args:
        pos: ``[N, 3]`` with ``batch``, or clouds of one size ``[B, n, 3]``.
        batch: Cloud of each point, sorted, ``[N]``.

    Returns:
        ``[N]`` or ``[B, n]``.
    """
    pos = pos.detach()
    if batch is None:
        low, high = pos.amin(dim=-2, keepdim=True), pos.amax(dim=-2, keepdim=True)
    else:
        rows = batch[:, None].expand_as(pos)
        corner = pos.new_zeros(int(batch[-1]) + 1, 3)
        low = corner.scatter_reduce(0, rows, pos, "amin", include_self=False)[batch]
        high = corner.scatter_reduce(0, rows, pos, "amax", include_self=False)[batch]
    side = (high - low).amax(dim=-1, keepdim=True)
    cell = (pos - low) / torch.where(side > 0.0, side, 1.0) * _CELLS
    cell = cell - cell.floor()
    key = sum(w * part for w, part in zip(_WEIGHTS, cell.unbind(-1)))
    assert isinstance(key, Tensor)
    return key - key.floor()


def find_strays(reach: Tensor, limit: float, batch: Tensor | None = None) -> Tensor:
    r"""Points that stand alone: :math:`r_i > t \operatorname{median}_j r_j` in their cloud.

    Args:
        reach: Distance :math:`r_i` of each point to its fourth neighbour, say, ``[N]`` with
            ``batch``, or ``[B, n]``.
        limit: The factor :math:`t`, at least 1, so that no more than half of a cloud are strays.
        batch: Cloud of each point, sorted, ``[N]``.

    Returns:
        bool of the same shape.
    """
    if batch is None:
        middle = reach.sort(dim=-1).values[..., reach.size(-1) // 2, None]
        return reach > limit * middle
    counts = torch.bincount(batch)
    place = counts.cumsum(0) - counts + counts // 2
    return reach > limit * reach[_in_clouds(reach, batch)][place][batch]


def make_grids(
    pos: Tensor,
    batch: Tensor | None = None,
    *,
    k: int = 10,
    num_grids: int = 3,
    thinning: int = 4,
    overlap: int = OVERLAP,
    operators: bool = True,
    fit: str = "average",
    stray: float | None = None,
) -> list[Grid]:
    r"""The grids of clouds, the finest first: grid :math:`l` has every :math:`t^l`-th point.

    A cloud of :math:`n` points has :math:`\max(\lfloor n / t^l \rfloor, 16)` of them on grid
    :math:`l`, the first in the order of :func:`scattered_keys`, strays after all others. No loop
    over points, as farthest points need it: the choice costs a sort, and an engine can make it.

    Args:
        pos: ``[N, 3]``, or clouds of one size ``[B, n, 3]``; at least ``max(k + 1, 16)`` points a
            cloud.
        batch: Cloud of each point, sorted, ``[N]``.
        k: Neighbours on the same grid.
        num_grids: Number of grids.
        thinning: The factor :math:`t` between two.
        overlap: Neighbours on the next finer grid, the point itself among them, at most 16.
        operators: Build :class:`~mgic_geo.graph.DifferentialOperators`, not graphs alone.
        fit: See :func:`~mgic_geo.graph.differential_operators`.
        stray: Factor of :func:`find_strays` by the distance to the fourth neighbour; None looks for
            none. With 2, 84 % of strays that fill the box of a cloud of 1,024 points of ModelNet-10
            are found, and 2 in 10,000 of its own points.

    Raises:
        DataError: A cloud has too few points, or a coordinate is not finite.
    """
    size = pos.size(1) if pos.dim() == 3 else pos.size(0)
    clouds = pos.size(0) if pos.dim() == 3 else 1
    shape = (clouds, size) if batch is None else (size,)
    points = pos.reshape(-1, 3)
    near = _neighbors(points, points, k, batch, batch, clouds, own=True)
    alone = None
    if stray is not None:
        far = near.col.view(-1, k)[:, min(k, REACH) - 1].long()
        reach = (points.detach()[far] - points.detach()).norm(dim=1)
        alone = find_strays(reach.view(shape), stray, batch)
    key = scattered_keys(pos.reshape(*shape, 3), batch)
    key = key if alone is None else key + alone.to(key.dtype)
    alone = None if alone is None else alone.flatten()
    order = key.argsort(dim=-1, stable=True) if batch is None else _in_clouds(key, batch)
    grids = [Grid(points, batch, near, near, alone)]
    for level in range(1, num_grids):
        fine = grids[-1]
        chosen, own = _first(order, shape, batch, thinning**level)
        coarse = points[chosen]
        down = _neighbors(fine.pos, coarse, overlap, fine.batch, own, clouds)
        near = _neighbors(coarse, coarse, k, own, own, clouds, own=True)
        grids.append(Grid(coarse, own, near, down, None if alone is None else alone[chosen]))
    if operators:
        for level, grid in enumerate(grids):
            assert isinstance(grid.graph, Neighborhoods)
            made = differential_operators(grid.pos, grid.graph, fit)
            grids[level] = grid._replace(graph=made)
    return grids


def _in_clouds(values: Tensor, batch: Tensor) -> Tensor:
    """The order of ascending values inside each cloud, cloud after cloud."""
    order = values.argsort(stable=True)
    return order[batch[order].argsort(stable=True)]


def _first(
    order: Tensor, shape: tuple[Any, ...], batch: Tensor | None, part: int
) -> tuple[Tensor, Tensor | None]:
    """The first ``1 / part`` of each cloud's order as rows, and their clouds."""
    if batch is None:
        clouds, size = shape
        if isinstance(size, Tensor):  # as torch.jit.trace has it
            size = int(size)
        count = torch.sym_max(size // part, LEAST)
        start = torch.arange(clouds, device=order.device)[:, None] * size
        return (order[:, :count] + start).flatten(), None
    counts = torch.bincount(batch)
    place = torch.arange(len(batch), device=batch.device) - (counts.cumsum(0) - counts)[batch]
    kept = order[place < (counts // part).clamp_min(LEAST)[batch]]
    return kept, batch[kept]


def _neighbors(
    x: Tensor,
    y: Tensor,
    k: int,
    batch_x: Tensor | None,
    batch_y: Tensor | None,
    clouds: int,
    own: bool = False,
) -> Neighborhoods:
    table = neighbor_table(x, y, k, batch_x, batch_y, clouds, own=own)
    # k neighbours each: no edges to be grouped
    pointers = torch.arange(table.size(0) + 1, device=table.device, dtype=torch.int32) * k
    return Neighborhoods(pointers, table.flatten().to(torch.int32))
