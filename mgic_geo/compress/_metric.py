"""How far one linear map is from another on the inputs that it gets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass
class Metric:
    r"""Second moments :math:`S` of the inputs of a layer: :math:`\|D\|^2 = \mathrm{tr}\,D S D^T`.

    The mean squared output of a map :math:`D` on inputs :math:`x` with
    :math:`S = \mathrm{E}\,x x^T`. Maps are ``[m, n, K]``: outputs, inputs, taps of the kernel.

    Args:
        moments: ``[n K, n K]``; or ``[n, n]`` of the channels alone, which takes the taps of a
            kernel for independent.
        inputs: :math:`n`.
        taps: :math:`K`.
    """

    moments: Tensor
    inputs: int
    taps: int = 1

    @property
    def _whole(self) -> bool:
        """Whether the taps have moments of their own."""
        return self.inputs * self.taps == self.moments.size(0)

    def rows(self, weight: Tensor) -> Tensor:
        """The map as rows that :math:`S` multiplies, ``[m, n K]`` or ``[m K, n]``."""
        if self._whole:
            return weight.flatten(1)
        return weight.transpose(1, 2).flatten(0, 1)

    def back(self, rows: Tensor, like: Tensor) -> Tensor:
        """What :meth:`rows` was made of."""
        return self._kernels(rows.reshape(like.size(0), -1), like.size(1))

    def _kernels(self, rows: Tensor, inputs: int) -> Tensor:
        if self._whole:
            return rows.view(len(rows), inputs, self.taps)
        return rows.view(len(rows), self.taps, inputs).transpose(1, 2)

    def energy(self, weight: Tensor) -> float:
        """The squared norm."""
        rows = self.rows(weight)
        return float(((rows @ self.moments) * rows).sum().clamp_min(0.0))

    def outer(self, weight: Tensor) -> Tensor:
        """Moments of the outputs, ``[m, m]``."""
        rows = self.rows(weight)
        images = (rows @ self.moments).view(weight.size(0), -1)
        return images @ rows.view(weight.size(0), -1).T

    def channels(self) -> Tensor:
        """Moments of the input channels, ``[n, n]``, the mean over the taps."""
        if not self._whole or self.taps == 1:
            return self.moments
        size = self.moments.size(0) // self.taps
        parts = self.moments.view(size, self.taps, size, self.taps)
        return parts.diagonal(dim1=1, dim2=3).mean(dim=-1)

    @cached_property
    def whitening(self) -> tuple[Tensor, Tensor]:
        """Square root of :meth:`channels` and its inverse."""
        values, vectors = torch.linalg.eigh(self.channels())
        values = values.clamp_min(1e-7 * float(values[-1]) + torch.finfo(values.dtype).tiny)
        return (vectors * values.sqrt()) @ vectors.T, (vectors / values.sqrt()) @ vectors.T

    def gains(self, weight: Tensor) -> Tensor:
        """What a single input channel alone explains of each output, ``[m, n]``."""
        rows = self.rows(weight)
        diagonal = self.moments.diagonal()
        gain = (rows @ self.moments).square() / diagonal.clamp_min(
            1e-9 * float(diagonal.max()) + torch.finfo(rows.dtype).tiny
        )
        m, n, taps = weight.shape
        return gain.view(m, n, taps).sum(2) if self._whole else gain.view(m, taps, n).sum(1)

    def project(self, weight: Tensor, picks: Tensor) -> Tensor:
        """The best grouped map, by least squares.

        Args:
            weight: ``[m, n, K]``.
            picks: Inputs of each group, ``[g, i]``, without repetition in a group.

        Returns:
            ``[m, i, K]``
        """
        (m, _, taps), (groups, size) = weight.shape, picks.shape
        columns = picks
        if self._whole:
            columns = (picks.unsqueeze(-1) * taps + torch.arange(taps)).flatten(1)
        rows = self.rows(weight)
        images = (rows @ self.moments).view(groups, -1, rows.size(1))
        right = images.gather(2, columns.unsqueeze(1).expand(-1, images.size(1), -1))
        system = self.moments[columns.unsqueeze(2), columns.unsqueeze(1)]
        found = torch.linalg.solve(ridge(system), right.transpose(1, 2)).transpose(1, 2)
        return self._kernels(found.reshape(m, -1), size)

    def core(self, weight: Tensor, up: Tensor, down: Tensor) -> Tensor:
        """The best map between a coarse grid's channels, ``[q, r, K]``.

        Args:
            weight: ``[m, n, K]``.
            up: Prolongation with orthonormal columns, ``[m, q]``.
            down: Restriction, ``[r, n]``.
        """
        images = torch.einsum("mq,mnk->qnk", up, weight)
        if not self._whole:
            cross = torch.einsum("qnk,nj,rj->qkr", images, self.moments, down)
            system = down @ self.moments @ down.T
            return (
                torch.linalg.solve(ridge(system), cross.flatten(0, 1).T)
                .T.view(up.size(1), self.taps, -1)
                .transpose(1, 2)
            )
        taps = self.taps
        half = self.moments.view(-1, self.moments.size(0) // taps, taps)  # [nK, n, K]
        half = torch.einsum("pnk,rn->prk", half, down).flatten(1)  # [nK, rK]
        cross = images.flatten(1) @ half
        system = torch.einsum("rn,nkc->rkc", down, half.view(-1, taps, half.size(1))).flatten(0, 1)
        return torch.linalg.solve(ridge(system), cross.T).T.reshape(up.size(1), -1, taps)

    def prolongation(self, weight: Tensor, coarse: Tensor) -> Tensor:
        """The best map from a coarse grid's outputs, ``[m, q]``.

        Args:
            weight: ``[m, n, K]``.
            coarse: The map to the coarse grid, ``[q, n, K]``.
        """
        rows = self.rows(coarse)
        images = (rows @ self.moments).view(coarse.size(0), -1)
        system = images @ rows.view(coarse.size(0), -1).T
        cross = self.rows(weight).view(weight.size(0), -1) @ images.T
        return torch.linalg.solve(ridge(system), cross.T).T


def ridge(system: Tensor, share: float = 1e-6) -> Tensor:
    """A symmetric system that can be solved whatever its rank."""
    mean = system.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    eye = torch.eye(system.size(-1), dtype=system.dtype)
    tiny = torch.finfo(system.dtype).tiny ** 0.5
    return system + (share * mean + tiny)[..., None, None] * eye
