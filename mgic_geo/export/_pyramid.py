"""Pyramids of points as plain operators: the grids are chosen inside the network."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from mgic_geo.export._points import RegularPointClassifier, nearest
from mgic_geo.graph.grids import LEAST, OVERLAP, REACH, Grid, scattered_keys
from mgic_geo.models import PointPyramid
from mgic_geo.models._parts import deal
from mgic_geo.nn import BatchNorm, GridPool
from mgic_geo.nn.grid_pool import OUT


class RegularPyramid(RegularPointClassifier):
    """A :class:`~mgic_geo.models.PointPyramid` of plain operators, from ``pos [B, n, 3]``.

    Args:
        model: The network; its layers are replaced in a copy.
    """

    def __init__(self, model: PointPyramid) -> None:
        super().__init__(cast(Any, model))
        pools = [_Pool(cast(GridPool, pool)) for pool in model.pools]
        cast(Any, self.model).pools = nn.ModuleList(pools)

    def forward(self, pos: Tensor) -> Tensor:
        model = cast(PointPyramid, self.model)
        dealt = None
        if model.part_size is not None:
            order = scattered_keys(pos).topk(pos.size(1), dim=1, largest=False).indices
            scattered = pos.gather(1, order.unsqueeze(2).expand(-1, -1, 3))
            dealt = deal(scattered, None, model.part_size, model.max_parts)
        clouds = pos if dealt is None else dealt.pos
        grids = self.grids(clouds)
        features = model.forward_features(clouds, operators=grids)
        logits = model.forward_head(features, grids, clouds.size(0))
        return logits if dealt is None else dealt.mean(logits)

    def grids(self, pos: Tensor) -> list[Grid]:
        """As :func:`mgic_geo.graph.make_grids`, with graphs of plain operators."""
        model = cast(PointPyramid, self.model)
        found = nearest(pos, model.k)
        key, alone = scattered_keys(pos), None
        if model.stray is not None:
            last = found[:, :, min(model.k, REACH) - 1]
            far = pos.gather(1, last.unsqueeze(2).expand(-1, -1, 3))
            reach = (far - pos).square().sum(dim=2).sqrt()
            half = pos.size(1) // 2 + 1
            middle = reach.topk(half, dim=1, largest=False).values[:, -1:]
            alone = reach > model.stray * middle
            key = key + alone.to(key.dtype)
        grids = [self._grid(pos, found, None, alone)]
        fine = pos
        for level in range(1, len(model.stages)):
            count = torch.sym_max(pos.size(1) // model.thinning**level, LEAST)
            chosen = key.topk(count, dim=1, largest=False).indices
            coarse = pos.gather(1, chosen.unsqueeze(2).expand(-1, -1, 3))
            own = None if alone is None else alone.gather(1, chosen)
            down = _rows(_nearest_of(fine, coarse, OVERLAP), fine.size(1))
            grids.append(self._grid(coarse, nearest(coarse, model.k), down, own))
            fine = coarse
        return grids

    def _grid(self, pos: Tensor, found: Tensor, finer: Tensor | None, stray: Tensor | None) -> Grid:
        stray = None if stray is None else stray.flatten()
        graph = cast(Any, self._prepared(pos, found))
        return Grid(pos.reshape(-1, 3), None, graph, cast(Any, finer), stray)


def _nearest_of(fine: Tensor, coarse: Tensor, k: int) -> Tensor:
    """The ``k`` nearest points of ``fine [B, n, 3]`` of each of ``coarse``, int64 ``[B, m, k]``."""
    square = torch.zeros((), dtype=fine.dtype)
    for a, b in zip(coarse.unbind(-1), fine.unbind(-1)):
        square = square + (a.unsqueeze(2) - b.unsqueeze(1)).square()
    return square.topk(k, dim=2, largest=False).indices


def _rows(found: Tensor, size: int) -> Tensor:
    """Places in clouds of one size as rows of all of them, ``[B * m, k]``."""
    first = torch.arange(found.size(0), device=found.device).view(-1, 1, 1) * size
    return (found + first).reshape(-1, found.size(2))


class _Pool(nn.Module):
    """A :class:`~mgic_geo.nn.GridPool` on rows of neighbours."""

    @torch.no_grad()
    def __init__(self, pool: GridPool) -> None:
        super().__init__()
        self.features, self.offset, self.aggr = pool.features, pool.offset, pool.aggr
        norm = pool.norm
        assert isinstance(norm, BatchNorm)
        scale, shift = norm.scale_and_shift()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(
        self, x: Tensor, pos: Tensor, centers: Tensor, rows: Tensor, stray: Tensor | None
    ) -> Tensor:
        u = self.features(x) + self.offset(pos)
        degree = rows.size(1)
        if stray is not None:
            u = torch.where(stray.unsqueeze(1), OUT if self.aggr == "max" else 0.0, u)
        seen = u.index_select(0, rows.flatten()).view(-1, degree, u.size(1))
        if self.aggr == "max":
            y = seen.amax(dim=1)
        elif stray is None:
            y = seen.mean(dim=1)
        else:
            kept = (~stray).to(u.dtype).index_select(0, rows.flatten()).view(-1, degree)
            y = seen.sum(dim=1) / kept.sum(dim=1, keepdim=True).clamp_min(1.0)
        y = y - self.offset(centers)
        return (y * cast(Tensor, self.scale) + cast(Tensor, self.shift)).relu()
