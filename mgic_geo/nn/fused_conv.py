"""Convolutions of a fused network: norm folded in, activation and residual in the same visit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo.kernels import grouped_conv, pack_conv_bias, pack_conv_weight
from mgic_geo.kernels.grouped_conv import activate_, run_grouped_conv


class FusedConv(nn.Module):
    r"""A convolution with bias and epilogue, :math:`\sigma(K x + b + r)`, without gradients.

    Args:
        weight: ``[C_out, C_in / groups, k, k]``.
        bias: ``[C_out]``.
        stride: Stride in both directions.
        dilation: Distance of the filter's taps.
        groups: Groups of channels.
        act: ``"none"``, ``"relu"`` or ``"hardswish"``.
    """

    @torch.no_grad()
    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        act: str = "none",
    ) -> None:
        super().__init__()
        self.stride, self.dilation, self.groups, self.act = stride, dilation, groups, act
        self.out = weight.size(0) // groups
        self.padding = dilation * (weight.size(-1) // 2)
        # Dense and depthwise convolutions are what torch's own library is best at.
        self.packed = groups > 1 and weight.size(1) > 1
        if self.packed:
            weight = pack_conv_weight(weight, groups)
            bias = None if bias is None else pack_conv_bias(bias, groups)
        else:
            weight = weight.contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    @torch.no_grad()
    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Applies it to images; ``residual`` is added ahead of the activation."""
        if self.packed:
            run = grouped_conv if torch.compiler.is_compiling() else run_grouped_conv
            y: Tensor = run(
                x, self.weight, self.bias, residual, self.out, self.stride, self.dilation, self.act
            )
            return y
        y = F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
        if residual is not None:
            y.add_(residual)
        return activate_(y, self.act)

    def correct(self, fine: Tensor, delta: Tensor, norm: nn.Module) -> Tensor:
        """As :meth:`mgic_geo.nn.Prolongation.correct`, with the norm folded in."""
        done: Tensor = self(delta, fine)
        return done

    def extra_repr(self) -> str:
        return f"groups={self.groups}, stride={self.stride}, act={self.act!r}"
