"""Dense and MGIC blocks of plain networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mgic_geo.nn._reset import reset
from mgic_geo.nn.norm import Norm, make_norm, norm_relu_add
from mgic_geo.nn.pointwise import GroupedPointwise


class DenseBlock(nn.Module):
    r"""A grouped pointwise map, a norm and a ReLU, :math:`\sigma(N(W x))`; plus :math:`x` if asked.

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
    r"""Dense blocks one after another, :math:`[C_0, C_1, \ldots, C_L]`.

    Args:
        widths: Channels from the input to the output, at least two numbers.
        groups: Groups of every layer.
        norm: As in :class:`~mgic_geo.nn.MGIC`.
        dropout: Probability of zeroing a channel after each block but a plain last one.
        bias: As in :class:`DenseBlock`.
        plain_last: Leave norm and activation away from the last layer.
        channel_axis: ``-1`` for nodes, ``1`` for images.
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
