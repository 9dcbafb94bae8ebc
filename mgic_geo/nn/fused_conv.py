"""A convolution of a fused network."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class FusedConv(nn.Conv2d):
    r"""A convolution with its norm folded in, a sum and an activation, :math:`\sigma(K x + b + r)`.

    Plain torch operators on constant weights in the layout of ``nn.Conv2d``, channels last: what
    ``torch.compile`` and exported formats run as one step.

    Args:
        weight: ``[C_out, C_in / groups, k, k]``.
        bias: ``[C_out]``.
        stride: Stride in both directions.
        dilation: Distance of the filter's taps.
        groups: Groups of channels.
        act: Activation; None for none.
    """

    @torch.no_grad()
    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        act: nn.Module | None = None,
    ) -> None:
        out, size, side = weight.shape[:3]
        super().__init__(
            size * groups, out, side, stride, dilation * (side // 2), dilation, groups,
            bias is not None, device="meta",
        )  # fmt: skip
        weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.act = nn.Identity() if act is None else act

    @classmethod
    def of(cls, conv: nn.Conv2d, scale: Tensor, shift: Tensor, act: nn.Module | None) -> FusedConv:
        """``scale * (conv(x) - b) + shift`` for each channel, with its bias :math:`b`; ``act``."""
        weight = conv.weight * scale.view(-1, 1, 1, 1)
        return cls(weight, shift, conv.stride[0], conv.dilation[0], conv.groups, act)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Applies it; ``residual`` is added ahead of the activation."""
        y = super().forward(x)
        if residual is not None:
            y = y + residual if torch.is_grad_enabled() else y.add_(residual)
        return cast(Tensor, self.act(y))

    def correct(self, fine: Tensor, delta: Tensor, norm: nn.Module) -> Tensor:
        """As :meth:`mgic_geo.nn.Prolongation.correct`, with the norm folded in."""
        return self(delta, fine)
