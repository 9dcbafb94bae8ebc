"""Channel attention."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo.nn._reset import reset
from mgic_geo.nn.pointwise import check_groups


class SqueezeExcite(nn.Module):
    r"""Scales the channels by their means, :math:`x \cdot h(W_2\, \sigma(W_1 \bar x))`.

    :math:`h` is the hard sigmoid, :math:`\sigma` the ReLU, :math:`\bar x` the mean over the pixels.
    From `"Squeeze-and-Excitation Networks" <https://arxiv.org/abs/1709.01507>`_, with the hard
    sigmoid of MobileNetV3.

    Args:
        channels: Channels, a multiple of ``groups``.
        squeezed: Channels between the two maps, a multiple of ``groups``.
        groups: Groups of both maps.

    Shapes:
        - **input:** :math:`(B, C, H, W)`
        - **output:** :math:`(B, C, H, W)`

    Raises:
        ValueError: A channel number is no multiple of ``groups``.

    Example:
        >>> import torch
        >>> from mgic_geo.nn.vision import SqueezeExcite
        >>> x = torch.rand(1, 16, 4, 4)
        >>> y = SqueezeExcite(16, squeezed=4)(x)
        >>> y.shape, bool((y <= x).all())  # each channel is scaled by a number from 0 to 1
        (torch.Size([1, 16, 4, 4]), True)
    """

    def __init__(self, channels: int, squeezed: int, groups: int = 1) -> None:
        super().__init__()
        check_groups(groups, channels=channels, squeezed=squeezed)
        self.reduce = nn.Conv2d(channels, squeezed, 1, groups=groups)
        self.expand = nn.Conv2d(squeezed, channels, 1, groups=groups)

    def reset_parameters(self) -> None:
        reset(self.reduce)
        reset(self.expand)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * F.hardsigmoid(self.expand(F.relu(self.reduce(mean))))
