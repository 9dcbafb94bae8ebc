"""A convolution of images with its norm and activation."""

from __future__ import annotations

import math
from typing import cast

from torch import Tensor, nn

from mgic_geo.nn._reset import reset
from mgic_geo.nn.norm import Norm, make_norm, norm_relu_add
from mgic_geo.nn.pointwise import check_groups

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "none": nn.Identity,
}


def make_act(act: str) -> nn.Module:
    """``"relu"``, ``"relu6"``, ``"hardswish"`` or ``"none"`` as a module."""
    if act not in _ACTIVATIONS:
        raise ValueError(f"act = {act!r}: use one of {tuple(_ACTIVATIONS)}")
    return _ACTIVATIONS[act]()


class ConvNormAct(nn.Module):
    r"""A convolution, a norm and an activation, :math:`\sigma(N(K x) + r)`.

    The padding keeps the size, up to the stride. The residual :math:`r` is an optional second
    argument of the call. The convolution has a bias only where there is no norm.

    Args:
        in_channels: Input channels, a multiple of ``groups``.
        out_channels: Output channels, a multiple of ``groups``.
        kernel_size: Size of the filter, odd.
        stride: Stride in both directions.
        groups: Groups of channels; ``in_channels`` of them make it depthwise.
        act: ``"relu"``, ``"relu6"``, ``"hardswish"`` or ``"none"``.
        norm: As in :class:`~mgic_geo.nn.MGIC`.
        dilation: Distance of the filter's taps.

    Shapes:
        - **input:** :math:`(B, C_{in}, H, W)`
        - **output:** :math:`(B, C_{out}, \lceil H / s \rceil, \lceil W / s \rceil)` with stride
          :math:`s`

    Raises:
        ValueError: A channel number is no multiple of ``groups``, or ``act`` is another name.

    Example:
        >>> import torch
        >>> from mgic_geo.nn.vision import ConvNormAct
        >>> ConvNormAct(3, 16, stride=2, act="hardswish")(torch.randn(1, 3, 8, 8)).shape
        torch.Size([1, 16, 4, 4])
        >>> depthwise = ConvNormAct(16, 16, 5, groups=16, act="none")
        >>> depthwise.conv.weight.shape
        torch.Size([16, 1, 5, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        act: str = "relu",
        norm: Norm = "batch",
        dilation: int = 1,
    ) -> None:
        super().__init__()
        check_groups(groups, in_channels=in_channels, out_channels=out_channels)
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            dilation * (kernel_size // 2),
            dilation,
            groups,
            bias=norm in (None, "none"),
        )
        self.norm = make_norm(norm, out_channels, channel_axis=1)
        self.act = make_act(act)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal weights of variance 2 / fan-out; the norm at its start."""
        fan_out = self.conv.out_channels // self.conv.groups * math.prod(self.conv.kernel_size)
        nn.init.normal_(self.conv.weight, 0.0, math.sqrt(2.0 / fan_out))
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)
        reset(self.norm)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Applies it; ``residual`` is added ahead of the activation."""
        y = self.conv(x)
        if isinstance(self.act, nn.ReLU) and residual is None:
            return norm_relu_add(self.norm, y, relu=True)
        y = norm_relu_add(self.norm, y, residual=residual)
        return cast(Tensor, self.act(y))
