"""The factors of a hierarchy that are nearest to a dense map on the inputs that it gets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mgic_geo.compress._blocks import Blocks, improve, start
from mgic_geo.compress._metric import Metric
from mgic_geo.nn.linear_grids import LinearGrid, LinearGrids

_ROUNDS = 12
_FIRST, _NEXT = 2, 1  # alternations of block terms a round: at once, and beside a relaxation
_GAIN = 3e-3  # of a round, below which it is the last


@dataclass
class Factors:
    """A map on two grids, and how far it is from the dense one.

    Args:
        error: Relative error of the outputs, :math:`\\|W - \\hat W\\| / \\|W\\|` in the metric.
        fine: Weight of the relaxation ``[m, i, K]``, None without one.
        picks: Inputs of its groups ``[g, i]``.
        down: Restriction ``[r, n, 1 or K]``, None without a coarse grid.
        core: Map of the coarse grid ``[q, r / G, K]`` in G groups, None for the identity.
        up: Prolongation ``[m, q]``.
        blocks: What the coarse grid was made of, where it has groups, in white coordinates.
    """

    error: float = 1.0
    fine: Tensor | None = None
    picks: Tensor | None = None
    down: Tensor | None = None
    core: Tensor | None = None
    up: Tensor | None = None
    blocks: Blocks | None = None

    def dense(self, like: Tensor) -> Tensor:
        """The map that they are, ``[m, n, K]``."""
        whole = self.coarse(like)
        if self.fine is not None and self.picks is not None:
            groups = self.picks.size(0)
            columns = self.picks.repeat_interleave(like.size(0) // groups, dim=0)
            whole = whole.scatter_add(1, columns[..., None].expand_as(self.fine), self.fine)
        return whole

    def coarse(self, like: Tensor) -> Tensor:
        """The part that goes through the coarse grid."""
        if self.up is None or self.down is None:
            return torch.zeros_like(like)
        if self.core is None:
            return torch.einsum("mq,qnk->mnk", self.up, self.down)
        groups = self.down.size(0) // self.core.size(1)
        core = self.core.view(groups, -1, *self.core.shape[1:])
        down = self.down.view(groups, -1, self.down.size(1))
        through = torch.einsum("gark,grn->gank", core, down).flatten(0, 1)
        return torch.einsum("mq,qnk->mnk", self.up, through)


def fit(weight: Tensor, metric: Metric, grids: LinearGrids, rounds: int = _ROUNDS) -> Factors:
    r"""Fits :math:`B + P C R` to a dense map by alternating least squares.

    Given the relaxation :math:`B` the best coarse part is a truncated decomposition of what is left
    in the metric of the inputs; given the coarse part each group of :math:`B` is a small system of
    its own. Between them the groups choose the inputs that explain most of what is left.

    Args:
        weight: ``[m, n, K]``.
        metric: Moments of the inputs.
        grids: One or two grids, as of :func:`~mgic_geo.nn.two_grids`.
        rounds: Alternations.
    """
    finest, coarse = grids.grids[0], grids.grids[1] if len(grids.grids) > 1 else None
    whole = metric.energy(weight)
    found = Factors()
    if coarse:
        _fit_coarse(found, weight, metric, coarse, _FIRST * rounds)
    if finest.groups:
        for step in range(rounds if coarse else 1):
            rest = weight - found.coarse(weight)
            if found.picks is None or step < rounds // 2:
                found.picks = _pick(metric.gains(rest), finest.groups, finest.fan_in)
            found.fine = metric.project(rest, found.picks)
            if coarse:
                relaxed = Factors(fine=found.fine, picks=found.picks)
                _fit_coarse(found, weight - relaxed.dense(weight), metric, coarse, _NEXT)
            error = _error(found, weight, metric, whole)
            if step > rounds // 2 and error > (1.0 - _GAIN) * found.error:
                break
            found.error = error
    found.error = _error(found, weight, metric, whole)
    return found


def _error(found: Factors, weight: Tensor, metric: Metric, whole: float) -> float:
    left = metric.energy(weight - found.dense(weight))
    return float((left / whole) ** 0.5) if whole > 0.0 else 0.0


def _pick(gains: Tensor, groups: int, size: int) -> Tensor:
    """The inputs that explain most of each group's outputs, ``[g, size]``, in rising order."""
    of_group = gains.view(groups, -1, gains.size(1)).sum(dim=1)
    return of_group.topk(size, dim=1).indices.sort(dim=1).values


def _fit_coarse(
    found: Factors, rest: Tensor, metric: Metric, grid: LinearGrid, rounds: int
) -> None:
    if grid.groups == 0:
        found.up = _leading(metric.outer(rest), grid.outputs)
        found.down = torch.einsum("mq,mnk->qnk", found.up, rest)
        return
    # the sides in turns, in the metric of the channels alone
    root, inverse = metric.whitening
    white = torch.einsum("mnk,nj->mjk", rest, root)
    if grid.groups == 1:
        up, down = _tucker(white, metric.outer(rest), grid)
        found.down = (down.T @ inverse).unsqueeze(-1)
        found.core = metric.core(rest, up, found.down.squeeze(-1))
    else:
        size = grid.inputs // grid.groups
        found.blocks = found.blocks or start(white, grid.groups, size)
        improve(found.blocks, white, rounds)
        found.down = (found.blocks.down.flatten(0, 1) @ inverse).unsqueeze(-1)
        found.core = found.blocks.core.flatten(0, 1)
    found.up = torch.eye(grid.outputs, dtype=rest.dtype)
    found.up = metric.prolongation(rest, found.coarse(rest))


def _tucker(white: Tensor, outer: Tensor, grid: LinearGrid) -> tuple[Tensor, Tensor]:
    """Orthonormal bases of both sides, ``[m, q]`` and ``[n, r]``."""
    up = _leading(outer, grid.outputs)
    for _ in range(2):
        half = torch.einsum("mq,mnk->nqk", up, white).flatten(1)
        down = _leading(half @ half.T, grid.inputs)
        half = torch.einsum("mnk,nr->mrk", white, down).flatten(1)
        up = _leading(half @ half.T, grid.outputs)
    return up, down


def _leading(symmetric: Tensor, count: int) -> Tensor:
    """Eigenvectors of the largest eigenvalues, ``[m, count]``; padded with zeros beyond m."""
    vectors = torch.linalg.eigh(0.5 * (symmetric + symmetric.T)).eigenvectors.flip(1)[:, :count]
    return torch.nn.functional.pad(vectors, (0, count - vectors.size(1)))
