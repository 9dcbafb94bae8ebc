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
        groups: Groups of channels. Groups whose outputs fill no vector register are joined where
            that costs no product; their weights among each other are zeros, so that there what is
            infinite or NaN spreads.
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
        self.form = "grouped"
        if groups == 1 and weight.numel() * weight.element_size() > _CACHE:
            self.form = "dense"
            weight = weight.contiguous(memory_format=torch.channels_last)
        elif groups > 1 and weight.size(1) == 1:
            self.form = "depthwise"
            weight = fill_registers(weight.reshape(-1, taps).t()).contiguous()
            bias = None if bias is None else fill_registers(bias).contiguous()
        else:
            # three axes: channels_last would put four in another order
            weight = pack_conv_weight(weight, groups).flatten(0, 1)
            bias = None if bias is None else pack_conv_bias(bias, groups)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    @torch.no_grad()
    def forward(self, x: Any, residual: Any = None) -> Any:
        """Applies it to images; ``residual`` is added ahead of the activation.

        What is no tensor is a value of a program that is being written down, and so is the result.
        """
        if self.form == "depthwise" and x.shape[1] != self.groups:
            raise ValueError(f"images must have {self.groups} channels, not {x.shape[1]}")
        if not isinstance(x, Tensor):
            return self._write(x, residual)
        shape = self.stride, self.dilation
        if self.form == "grouped":
            run = grouped_conv if torch.compiler.is_compiling() else run_grouped_conv
            y: Tensor = run(x, self._maps, self.bias, residual, self.out, *shape, self.act)
            return y
        weight: Tensor = self.weight
        bias: Tensor | None = self.bias
        if self.form == "depthwise":
            if not torch.compiler.is_compiling() and self.fits(x):
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

    @property
    def _maps(self) -> Tensor:
        """The packed weight of a grouped convolution, ``[groups, taps, in, out]``."""
        return self.weight.unflatten(0, (self.groups, -1))

    def _write(self, x: Any, residual: Any) -> Any:
        """The value of a further step of a program."""
        rest = self.bias, residual, self.out, self.stride, self.dilation, self.act
        if self.form == "depthwise":
            return x.builder.depthwise_conv(x, self.weight, *rest)
        return x.builder.grouped_conv(x, self._maps, *rest)

    def fits(self, x: Tensor) -> bool:
        """Whether vector code takes it for images like ``x``, and so a program as a step."""
        width = lanes(x)
        if width == 0 or x.dtype != self.weight.dtype or self.form == "dense":
            return False
        if self.form == "depthwise":
            whole = self.weight.size(1) == -(-self.groups * self.out // width) * width
            return whole and width % self.out == 0 and self.out in fused_for(x).MULTIPLIERS
        return self.weight.size(-1) == -(-self.out // width) * width

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
    def forward(self, x: Any) -> Any:
        """Scales images, or writes that down; see :meth:`FusedConv.forward`."""
        if not isinstance(x, Tensor):
            return x.builder.squeeze_excite(x, list(self.maps))
        reduce, reduce_bias, expand, expand_bias = self.maps
        fused = None if torch.compiler.is_compiling() else fused_for(x)
        if fused is not None and x.dtype == reduce.dtype:
            y: Tensor = fused.squeeze_excite_forward(x, *self.maps)
            return y
        mean = x.mean(dim=(2, 3)).unflatten(1, reduce.shape[:2])
        hidden = torch.einsum("bgc,gci->bgi", mean, reduce).add_(reduce_bias).relu_()
        gate = torch.einsum("bgi,gic->bgc", hidden, expand).add_(expand_bias)
        return x * F.hardsigmoid(gate, inplace=True).flatten(1)[:, :, None, None]

    def fits(self, x: Tensor) -> bool:
        """See :meth:`FusedConv.fits`."""
        return lanes(x) > 0 and x.dtype == self.maps[0].dtype
