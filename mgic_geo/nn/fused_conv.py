"""Convolutions of a fused network: norm folded in, activation and residual in the same visit."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo.kernels import grouped_conv, pack_conv_bias, pack_conv_weight
from mgic_geo.kernels._dispatch import fused_for, lanes
from mgic_geo.kernels.grouped_conv import activate_, fill_registers, run_grouped_conv
from mgic_geo.nn.vision.squeeze_excite import SqueezeExcite

# Bytes of a dense convolution's weight that stay in a core's cache from tile to tile. Larger ones
# need what torch's own library does: tiles of the weight, too.
_CACHE = 2**18


class FusedConv(nn.Module):
    r"""A convolution with bias and epilogue, :math:`\sigma(K x + b + r)`, without gradients.

    Args:
        weight: ``[C_out, C_in / groups, k, k]``.
        bias: ``[C_out]``.
        stride: Stride in both directions.
        dilation: Distance of the filter's taps.
        groups: Groups of channels.
        act: ``"none"``, ``"relu"``, ``"relu6"`` or ``"hardswish"``.
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
        if 1 < groups < weight.size(0):
            weight, groups = _joined(weight, groups)
        self.stride, self.dilation, self.groups, self.act = stride, dilation, groups, act
        self.out = weight.size(0) // self.groups
        self.padding = dilation * (weight.size(-1) // 2)
        taps = weight.size(2) * weight.size(3)
        # Dense convolutions are what torch's own library is best at.
        self.form = "dense"
        if self.groups > 1:
            self.form = "depthwise" if weight.size(1) == 1 else "grouped"
        if self.form == "grouped":
            weight = pack_conv_weight(weight, groups)
            bias = None if bias is None else pack_conv_bias(bias, groups)
        elif self.form == "dense":
            weight = weight.contiguous(memory_format=torch.channels_last)
        else:
            weight = fill_registers(weight.reshape(-1, taps).t()).contiguous()
            bias = None if bias is None else fill_registers(bias).contiguous()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    @torch.no_grad()
    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Applies it to images; ``residual`` is added ahead of the activation."""
        shape = self.stride, self.dilation
        if self.form == "grouped":
            run = grouped_conv if torch.compiler.is_compiling() else run_grouped_conv
            y: Tensor = run(x, self.weight, self.bias, residual, self.out, *shape, self.act)
            return y
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        if self.form == "depthwise":
            if self._compiled(x):
                y = fused_for(x).depthwise_conv_forward(
                    x, weight, bias, residual, self.out, *shape, self.act
                )
                return y
            side = 2 * self.padding // self.dilation + 1
            channels = self.groups * self.out
            weight = weight[:, :channels].t().reshape(-1, 1, side, side)
            bias = None if bias is None else bias[:channels]
        y = F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        if residual is not None:
            y.add_(residual)
        return activate_(y, self.act)

    def record(self, program: Any, x: Any, residual: Any = None) -> Any:
        """Writes itself down in a ``ProgramBuilder`` and returns the value that it gives.

        What it takes is a convolution that :meth:`fits` its numbers' type.
        """
        write = program.depthwise_conv if self.form == "depthwise" else program.grouped_conv
        shape = self.out, self.stride, self.dilation
        return write(x, *self._packed(), residual, *shape, self.act)

    def fits(self, x: Tensor) -> bool:
        """Whether a program for images like ``x`` may have it as a step."""
        width = lanes(x)
        if width == 0 or x.dtype != self.weight.dtype:
            return False
        if self.form == "dense":
            return self.weight.numel() * self.weight.element_size() <= _CACHE
        if self.form == "depthwise":
            return self._compiled(x)
        return self.weight.size(-1) == -(-self.out // width) * width

    def _packed(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias as of a grouped convolution, which a dense one is with one group."""
        if self.form != "dense":
            return self.weight, self.bias
        bias = None if self.bias is None else pack_conv_bias(self.bias, 1)
        return pack_conv_weight(self.weight, 1), bias

    def _compiled(self, x: Tensor) -> bool:
        """Whether vector code takes these channels."""
        width = 0 if torch.compiler.is_compiling() else lanes(x)
        fits = (
            width > 0 and self.weight.size(1) % width == 0 and self.out in fused_for(x).MULTIPLIERS
        )
        return fits and x.dtype == self.weight.dtype

    def correct(self, fine: Tensor, delta: Tensor, norm: nn.Module) -> Tensor:
        """As :meth:`mgic_geo.nn.Prolongation.correct`, with the norm folded in."""
        done: Tensor = self(delta, fine)
        return done

    def extra_repr(self) -> str:
        return f"groups={self.groups}, stride={self.stride}, act={self.act!r}"


def _joined(weight: Tensor, groups: int) -> tuple[Tensor, int]:
    """Weights of fewer groups, filled up with zeros, where groups of outputs fill no register.

    As many are joined as can be without more work: one product is a register of outputs.
    """
    width, (total, size) = max(lanes(weight), 1), weight.shape[:2]
    out = total // groups
    if size == 1:  # depthwise ones are vectors of channels as they are
        return weight, groups
    fitting = [times for times in range(1, groups + 1) if groups % times == 0]
    # [groups / times] * [registers] * [inputs]
    works = {times: -(-times * out // width) * size for times in fitting}
    times = min(fitting, key=lambda times: (works[times], -times))
    apart = weight.unflatten(0, (-1, times, out))  # [g, times, out, size, k, k]
    among = torch.eye(times, dtype=weight.dtype, device=weight.device)
    joined = torch.einsum("gtoskl,tu->gtouskl", apart, among)
    return joined.flatten(3, 4).flatten(0, 2), groups // times


class FusedSqueezeExcite(nn.Module):
    """A :class:`~mgic_geo.nn.vision.SqueezeExcite` of whatever form, in one visit and a half.

    Args:
        module: The original.
    """

    @torch.no_grad()
    def __init__(self, module: SqueezeExcite) -> None:
        super().__init__()
        groups = module.reduce.groups
        maps = []
        for conv in (module.reduce, module.expand):
            weight = conv.weight.flatten(1).unflatten(0, (groups, -1)).transpose(1, 2)
            assert conv.bias is not None
            maps += [weight.contiguous(), conv.bias.view(groups, -1)]
        self.maps = nn.ParameterList(nn.Parameter(m, requires_grad=False) for m in maps)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        reduce, reduce_bias, expand, expand_bias = self.maps
        fused = None if torch.compiler.is_compiling() else fused_for(x)
        if fused is not None and x.dtype == reduce.dtype:
            y: Tensor = fused.squeeze_excite_forward(x, *self.maps)
            return y
        mean = x.mean(dim=(2, 3)).unflatten(1, reduce.shape[:2])
        hidden = torch.einsum("bgc,gci->bgi", mean, reduce).add_(reduce_bias).relu_()
        gate = torch.einsum("bgi,gic->bgc", hidden, expand).add_(expand_bias)
        return x * F.hardsigmoid(gate, inplace=True).flatten(1)[:, :, None, None]

    def record(self, program: Any, x: Any) -> Any:
        """See :meth:`FusedConv.record`."""
        return program.squeeze_excite(x, list(self.maps))

    def fits(self, x: Tensor) -> bool:
        """See :meth:`FusedConv.fits`."""
        return lanes(x) > 0 and x.dtype == self.maps[0].dtype
