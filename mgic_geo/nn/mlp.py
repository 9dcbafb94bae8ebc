"""Dense and MGIC blocks of plain networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mgic_geo.nn._reset import reset
from mgic_geo.nn.norm import Norm, make_norm, norm_relu_add
from mgic_geo.nn.pointwise import GroupedPointwise


class DenseBlock(nn.Module):
    r"""A grouped map, a norm and a ReLU: :math:`\sigma(N(W x))`, plus :math:`x` on request.

    The relaxation that turns a plain network into an MGIC network:
    ``MGIC(lambda c, g: DenseBlock(c, c, g, residual=True), 1024)``.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        groups: Groups of the map.
        norm: As in :class:`~mgic_geo.nn.MGIC`.
        residual: Add the input to the output.
        bias: Bias of the map; by default only where there is no norm to absorb it.
        act: Activation; None for none.
        channel_axis: ``-1`` for nodes, ``1`` for images.

    Shapes:
        - **input:** :math:`(*, C_{in})`, or :math:`(B, C_{in}, H, W)` with ``channel_axis=1``
        - **output:** :math:`(*, C_{out})` or :math:`(B, C_{out}, H, W)`

    Raises:
        ValueError: A channel number is no multiple of ``groups``, or ``residual`` is asked for and
            the channels of input and output differ.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import DenseBlock, MGIC
        >>> wide = MGIC(lambda c, g: DenseBlock(c, c, g, residual=True), 256, group_size=8)
        >>> wide(torch.randn(4, 256)).shape
        torch.Size([4, 256])
        >>> sum(p.numel() for p in wide.parameters()) < 256**2 / 4  # a dense layer has 256**2
        True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int = 1,
        norm: Norm = "batch",
        residual: bool = False,
        bias: bool | None = None,
        act: type[nn.Module] | None = nn.ReLU,
        channel_axis: int = -1,
    ) -> None:
        super().__init__()
        if residual and in_channels != out_channels:
            raise ValueError(f"residual needs equal channels, got {in_channels} and {out_channels}")
        bias = norm in (None, "none") if bias is None else bias
        self.pointwise = GroupedPointwise(in_channels, out_channels, groups, bias, channel_axis)
        self.norm = make_norm(norm, out_channels, channel_axis)
        self.act = nn.Identity() if act is None else act()
        self.residual = residual

    def reset_parameters(self) -> None:
        reset(self.pointwise)
        reset(self.norm)

    def forward(self, x: Tensor) -> Tensor:
        rest = x if self.residual else None
        if isinstance(self.act, (nn.ReLU, nn.Identity)):
            relu = isinstance(self.act, nn.ReLU)
            return norm_relu_add(self.norm, self.pointwise(x), relu, rest)
        y: Tensor = self.act(self.norm(self.pointwise(x)))
        return y if rest is None else y + rest


class MLP(nn.Sequential):
    r"""Dense blocks one after another, of widths :math:`[C_0, C_1, \ldots, C_L]`.

    Args:
        widths: Channels from the input to the output, at least two numbers.
        groups: Groups of every layer.
        norm: As in :class:`~mgic_geo.nn.MGIC`.
        dropout: Probability of zeroing a channel after each block; never after a plain last layer.
        bias: As in :class:`DenseBlock`.
        plain_last: Leave norm and activation away from the last layer.
        channel_axis: ``-1`` for nodes, ``1`` for images.

    Shapes:
        - **input:** :math:`(*, C_0)`, or :math:`(B, C_0, H, W)` with ``channel_axis=1``
        - **output:** :math:`(*, C_L)` or :math:`(B, C_L, H, W)`

    Raises:
        ValueError: Fewer than two widths, or one that is no multiple of ``groups``.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import MLP
        >>> head = MLP([64, 32, 10], dropout=0.5, plain_last=True)  # 10 logits from 64 features
        >>> head(torch.randn(4, 64)).shape
        torch.Size([4, 10])
        >>> [type(layer).__name__ for layer in head]
        ['DenseBlock', 'Dropout', 'GroupedPointwise']
    """

    def __init__(
        self,
        widths: Sequence[int],
        groups: int = 1,
        norm: Norm = "batch",
        dropout: float = 0.0,
        bias: bool | None = None,
        plain_last: bool = False,
        channel_axis: int = -1,
    ) -> None:
        if len(widths) < 2:
            raise ValueError(f"widths = {list(widths)}: an MLP needs an input and an output width")
        layers: list[nn.Module] = []
        for i, (width_in, width_out) in enumerate(pairwise(widths)):
            if plain_last and i == len(widths) - 2:
                plain = bias is None or bias
                layers.append(GroupedPointwise(width_in, width_out, groups, plain, channel_axis))
                continue
            layers.append(
                DenseBlock(
                    width_in, width_out, groups, norm, False, bias, channel_axis=channel_axis
                )
            )
            if dropout > 0.0:
                layers.append(nn.Dropout(dropout))
        super().__init__(*layers)
        self.widths = tuple(widths)
        self.groups = groups
