"""Block terms: a kernel through a coarse grid whose own map works in groups."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mgic_geo.compress._metric import ridge

LARGEST = 900
"""Entries of all blocks at one tap, beyond which the system for them is too large."""
_RIDGE = 1e-8


@dataclass
class Blocks:
    r"""A kernel :math:`\sum_g P_g C_g R_g`.

    Args:
        up: Orthonormal columns of each block, ``[G, m, a]``.
        core: ``[G, a, b, K]``
        down: Orthonormal rows of each block, ``[G, b, n]``.
    """

    up: Tensor
    core: Tensor
    down: Tensor

    def coarse(self) -> Tensor:
        """The map to the coarse grid's outputs, ``[G a, n, K]``."""
        return torch.einsum("gabk,gbn->gank", self.core, self.down).flatten(0, 1)


def start(weight: Tensor, groups: int, size: int) -> Blocks:
    """Blocks with random bases, always the same ones; a start as good as one by deflation."""
    m, n, taps = weight.shape
    generator = torch.Generator().manual_seed(0)
    up = torch.randn(groups, m, size, generator=generator, dtype=weight.dtype)
    down = torch.randn(groups, n, size, generator=generator, dtype=weight.dtype)
    core = weight.new_zeros(groups, size, size, taps)
    return Blocks(_basis(up), core, _basis(down).transpose(1, 2))


def improve(found: Blocks, weight: Tensor, rounds: int) -> None:
    """Alternating least squares for all blocks at once, in place, in the plain norm.

    Args:
        found: Where it starts.
        weight: ``[m, n, K]``, its inputs white.
        rounds: Alternations.
    """
    groups, m, size = found.up.shape
    _fit_core(found, weight)
    for _ in range(rounds):
        through = found.coarse().flatten(1)
        right = through @ weight.flatten(1).T
        up = torch.linalg.solve(ridge(through @ through.T, _RIDGE), right)  # [G a, m]
        found.up = up.view(groups, size, m).transpose(1, 2)
        back = torch.einsum("gma,gabk->gbmk", found.up, found.core).flatten(2).flatten(0, 1)
        right = back @ weight.transpose(0, 1).flatten(1).T
        down = torch.linalg.solve(ridge(back @ back.T, _RIDGE), right)  # [G b, n]
        found.down = _basis(down.view(groups, size, -1).transpose(1, 2)).transpose(1, 2)
        found.up = _basis(found.up)
        _fit_core(found, weight)


def _fit_core(found: Blocks, weight: Tensor) -> None:
    up, down = found.up, found.down
    groups, _, size = up.shape
    left = torch.einsum("gma,hmc->gahc", up, up)
    right = torch.einsum("gbn,hdn->gbhd", down, down)
    system = torch.einsum("gahc,gbhd->gabhcd", left, right).reshape(groups * size**2, -1)
    images = torch.einsum("gma,mnk->gank", up, weight)
    images = torch.einsum("gank,gbn->gabk", images, down)
    factor = torch.linalg.cholesky(ridge(system))
    core = torch.cholesky_solve(images.flatten(0, 2), factor)
    found.core = core.view(groups, size, size, -1)


def _basis(columns: Tensor) -> Tensor:
    return torch.linalg.qr(columns).Q
