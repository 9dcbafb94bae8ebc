"""Restriction and prolongation between two channel grids."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mgic_geo.kernels import correction, grouped_pointwise
from mgic_geo.kernels.correction import has_correction
from mgic_geo.kernels.pointwise import mixes_pointwise
from mgic_geo.nn._rows import as_image, as_rows
from mgic_geo.nn.norm import BatchNorm, norm_relu_add, same_type
from mgic_geo.nn.pointwise import GroupedPointwise


class _Transfer(GroupedPointwise):
    """A grouped pointwise map without bias whose rows start as weighted averages."""

    def __init__(
        self, in_channels: int, out_channels: int, groups: int = 1, channel_axis: int = -1
    ) -> None:
        super().__init__(in_channels, out_channels, groups, bias=False, channel_axis=channel_axis)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Positive random weights whose rows sum to 1, so that features neither vanish nor grow."""
        # Bounded away from 0: every channel of a group takes part from the start.
        nn.init.uniform_(self.weight, 0.1, 1.0)
        self.weight.div_(self.weight.sum(dim=-1, keepdim=True))


class Restriction(_Transfer):
    r"""Restriction :math:`x^{(j+1)} = R_j x^{(j)}`: halves the channels, group by group.

    A grouped pointwise map without bias, initialised with positive weights whose rows sum to 1
    (`MGIC <https://arxiv.org/abs/2011.09128>`_, section 3.3). It has
    ``channels ** 2 / (2 * groups)`` weights.

    Args:
        channels: Width :math:`c_j` of the fine grid, even.
        groups: Number of groups; divides :math:`c_j / 2`.
        channel_axis: ``-1`` for node features, ``1`` for images.

    Shapes:
        - **input:** :math:`(*, c_j)`, or :math:`(B, c_j, H, W)` with ``channel_axis=1``
        - **output:** :math:`(*, c_j / 2)` or :math:`(B, c_j / 2, H, W)`

    Raises:
        ValueError: ``channels`` is odd, or ``groups`` does not divide its half.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import Restriction
        >>> R = Restriction(16, groups=2)
        >>> R(torch.randn(5, 16)).shape
        torch.Size([5, 8])
        >>> torch.allclose(R(torch.ones(5, 16)), torch.ones(5, 8))  # weighted averages at the start
        True
    """

    def __init__(self, channels: int, groups: int = 1, channel_axis: int = -1) -> None:
        if channels % 2:
            raise ValueError(f"channels = {channels} cannot be halved; use {channels + 1}")
        super().__init__(channels, channels // 2, groups, channel_axis)


class Prolongation(_Transfer):
    r"""Prolongation :math:`P_j`: from the coarse grid back to twice as many channels.

    It has the transposed structure of :class:`Restriction` and weights of its own.

    Args:
        channels: Width :math:`c_j` of the *fine* grid, even.
        groups: Number of groups; divides :math:`c_j / 2`.
        channel_axis: ``-1`` for node features, ``1`` for images.

    Shapes:
        - **input:** :math:`(*, c_j / 2)`, or :math:`(B, c_j / 2, H, W)` with ``channel_axis=1``
        - **output:** :math:`(*, c_j)` or :math:`(B, c_j, H, W)`

    Raises:
        ValueError: ``channels`` is odd, or ``groups`` does not divide its half.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import Prolongation
        >>> P = Prolongation(16, groups=2)  # the width of the fine grid, to which it leads
        >>> P(torch.randn(5, 8)).shape
        torch.Size([5, 16])
    """

    def __init__(self, channels: int, groups: int = 1, channel_axis: int = -1) -> None:
        if channels % 2:
            raise ValueError(f"channels = {channels} cannot be halved; use {channels + 1}")
        super().__init__(channels // 2, channels, groups, channel_axis)

    def correct(self, fine: Tensor, delta: Tensor, norm: nn.Module) -> Tensor:
        r"""The corrected features :math:`x_j + N_j(P_j \delta)`.

        On nodes, and on images whose channels lie side by side, batch norm folds into the map, in
        training too; see :func:`mgic_geo.kernels.correction`.

        Args:
            fine: :math:`x_j`.
            delta: :math:`y_{j+1} - x_{j+1}`.
            norm: :math:`N_j`.
        """
        groups, out, size = self.weight.shape
        term = same_type(fine, delta)
        if (
            term is not None
            and delta.dtype == self.weight.dtype
            and mixes_pointwise(delta, groups, size, out)
        ):
            image = self.channel_axis == 1
            rows = [as_rows(t) if image else t for t in (term, delta)]
            if all(t is not None and t.dim() == 2 for t in rows):
                done = self._correct_rows(cast(Tensor, rows[0]), cast(Tensor, rows[1]), norm)
                if done is not None:
                    return as_image(done, fine) if image else done
        return norm_relu_add(norm, self(delta), residual=fine)

    def _correct_rows(self, fine: Tensor, delta: Tensor, norm: nn.Module) -> Tensor | None:
        """:meth:`correct` of rows of channels, None where no fused operator does it."""
        groups, out, size = self.weight.shape
        done: Tensor
        if isinstance(norm, nn.Identity):
            done = grouped_pointwise(delta, self.weight, self.bias, fine)
            return done
        if not isinstance(norm, BatchNorm):
            return None
        if not norm.training:
            scale, shift = norm.scale_and_shift()
            weight = self.weight * scale.view(groups, out, 1)
            done = grouped_pointwise(delta, weight, shift, fine)
            return done
        if delta.size(0) == 1 or not has_correction(delta, groups, size, out):
            return None
        done, mean, var, *_ = correction(fine, delta, self.weight, norm.weight, norm.bias, norm.eps)
        norm.track(mean, var, delta.size(0))
        return done
