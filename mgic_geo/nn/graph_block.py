"""A graph convolution with its norm and activation."""

from __future__ import annotations

from torch import Tensor, nn

from mgic_geo.graph import DifferentialOperators, Neighborhoods
from mgic_geo.nn.norm import make_norm, norm_relu_add

Graph = DifferentialOperators | Neighborhoods


class GraphBlock(nn.Module):
    r"""A graph convolution, a norm and a ReLU: :math:`\sigma(N(K(x)))`, plus :math:`x` on request.

    Args:
        conv: The convolution.
        channels: Its output channels.
        residual: Add the input to the output.
    """

    def __init__(self, conv: nn.Module, channels: int, residual: bool = False) -> None:
        super().__init__()
        self.conv = conv
        self.norm = make_norm("batch", channels)
        self.residual = residual

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        return norm_relu_add(self.norm, self.conv(x, graph), True, x if self.residual else None)
