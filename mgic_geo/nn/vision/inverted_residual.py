"""The block of MobileNetV3."""

from __future__ import annotations

from torch import Tensor, nn

from mgic_geo.nn._reset import reset
from mgic_geo.nn.norm import Norm
from mgic_geo.nn.vision.conv import ConvNormAct
from mgic_geo.nn.vision.squeeze_excite import SqueezeExcite


class InvertedResidual(nn.Module):
    r"""A narrow-wide-narrow block, :math:`x + N K_3\, a(\sigma(N K_2\, \sigma(N K_1 x)))`.

    :math:`K_1` and :math:`K_3` are 1x1 convolutions to the wide channels and back, :math:`K_2` is
    depthwise, :math:`a` an optional :class:`SqueezeExcite`, and :math:`x` is added where neither
    channels nor resolution change. From `"Searching for MobileNetV3"
    <https://arxiv.org/abs/1905.02244>`_; in groups the relaxation of an MGIC bottleneck (Table 6 of
    `MGIC <https://arxiv.org/abs/2011.09128>`_).

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        hidden_channels: Wide channels; :math:`K_1` is left away where they equal the input's.
        kernel_size: Size of the depthwise filter.
        stride: Its stride.
        groups: Groups of :math:`K_1`, :math:`K_3` and of the squeeze-excite.
        squeezed: Channels inside the squeeze-excite; 0 for none.
        act: Activation, as in :class:`ConvNormAct`.
        norm: As in :class:`~mgic_geo.nn.MGIC`.
        dilation: Distance of the depthwise filter's taps.
        squeeze_groups: Groups of the squeeze-excite, if not ``groups``.

    Shapes:
        - **input:** :math:`(B, C_{in}, H, W)`
        - **output:** :math:`(B, C_{out}, \lceil H / s \rceil, \lceil W / s \rceil)` with stride
          :math:`s`

    Example:
        >>> import torch
        >>> from mgic_geo.nn.vision import InvertedResidual
        >>> block = InvertedResidual(16, 24, 64, kernel_size=5, stride=2, squeezed=16)
        >>> block(torch.randn(1, 16, 8, 8)).shape
        torch.Size([1, 24, 4, 4])
        >>> block.residual  # channels and resolution change: nothing is added
        False
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        squeezed: int = 0,
        act: str = "hardswish",
        norm: Norm = "batch",
        dilation: int = 1,
        squeeze_groups: int | None = None,
    ) -> None:
        super().__init__()
        wide = hidden_channels
        self.expand: nn.Module = nn.Identity()
        if wide != in_channels:
            self.expand = ConvNormAct(in_channels, wide, 1, 1, groups, act, norm)
        self.depthwise = ConvNormAct(wide, wide, kernel_size, stride, wide, act, norm, dilation)
        self.se: nn.Module = nn.Identity()
        if squeezed:
            self.se = SqueezeExcite(
                wide, squeezed, groups if squeeze_groups is None else squeeze_groups
            )
        self.project = ConvNormAct(wide, out_channels, 1, 1, groups, "none", norm)
        self.residual = stride == 1 and in_channels == out_channels

    def reset_parameters(self) -> None:
        for child in self.children():
            reset(child)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.se(self.depthwise(self.expand(x)))
        done: Tensor = self.project(y, x if self.residual else None)
        return done
