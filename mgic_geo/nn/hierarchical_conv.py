"""Convolutions in a channel hierarchy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo.nn._hierarchical import Hierarchical
from mgic_geo.nn.linear_grids import LinearGrids, nested_grids

_PAD_MODES = {"zeros": "constant"}
_CONVS: dict[int, tuple[Callable[..., Tensor], type[nn.Module]]] = {
    1: (F.conv1d, nn.Conv1d),
    2: (F.conv2d, nn.Conv2d),
    3: (F.conv3d, nn.Conv3d),
}


class HierarchicalConv(Hierarchical):
    r"""A convolution whose dense coupling of channels is a sum of maps on nested channel grids.

    As :class:`~mgic_geo.nn.HierarchicalLinear`, for 1, 2 or 3 directions. Relaxations
    :math:`B_j` have the kernel, stride and dilation of the convolution; restrictions are pointwise
    at the resolution of the input, prolongations pointwise at that of the output. The change of
    width and resolution, for which `MGIC <https://arxiv.org/abs/2011.09128>`_ (section 3.3) has a
    light shortcut ahead, is part of the finest relaxation.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel_size: Size of the kernel in each direction; its length says how many there are.
        stride: As in :class:`torch.nn.Conv2d`, a number for each direction.
        padding: Numbers, ``"same"`` or ``"valid"``.
        dilation: Numbers.
        bias: Learn an additive bias.
        padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"circular"``.
        group_size: Channels a group.
        coarsest: Largest width of the coarsest grid.
        grids: Other grids than :func:`~mgic_geo.nn.nested_grids` of these numbers.
        device: Where the weights are.
        dtype: What they are.

    Shapes:
        - **input:** :math:`(B, C_{in}, *)`, or :math:`(C_{in}, *)`
        - **output:** :math:`(B, C_{out}, *)`, as of the dense convolution

    Raises:
        ValueError: The grids are for other widths or kernels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        stride: Sequence[int] | int = 1,
        padding: Sequence[int] | int | str = 0,
        dilation: Sequence[int] | int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        group_size: int = 8,
        coarsest: int = 16,
        grids: LinearGrids | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        kernel = tuple(kernel_size)
        if len(kernel) not in _CONVS:
            raise ValueError(f"kernel_size = {kernel}: give a number for each of 1 to 3 directions")
        if grids is None:
            grids = nested_grids(in_channels, out_channels, group_size, coarsest, math.prod(kernel))
        if (grids.inputs, grids.outputs) != (in_channels, out_channels):
            raise ValueError(
                f"the grids map {grids.inputs} to {grids.outputs} channels, the layer "
                f"{in_channels} to {out_channels}"
            )
        super().__init__(grids, kernel, bias, device, dtype)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = kernel
        self.stride = _each(stride, len(kernel))
        self.padding: tuple[int, ...] | str = (
            padding if isinstance(padding, str) else _each(padding, len(kernel))
        )
        self.dilation = _each(dilation, len(kernel))
        self.padding_mode = padding_mode
        self.groups = 1
        self._conv, self._dense_type = _CONVS[len(kernel)]

    @property
    def weight(self) -> Tensor:
        """The dense weight ``[C_out, C_in, *kernel]``, multiplied out at each access."""
        return self.merge_weight()

    def forward(self, x: Tensor) -> Tensor:
        single = x.dim() == len(self.kernel) + 1
        x = x.unsqueeze(0) if single else x
        padding, stride = self.padding, self.stride
        pointwise = self.grids.taps == 1  # all of it works at the places that the stride leaves
        if pointwise or self.padding_mode != "zeros":
            if any(around := self._around()):
                x = F.pad(x, around, mode=_PAD_MODES.get(self.padding_mode, self.padding_mode))
            padding = (0,) * len(self.kernel)
        if pointwise and max(stride) > 1:
            every: list[Any] = [..., *(slice(None, None, step) for step in stride)]
            x = x[tuple(every)]
            stride = (1,) * len(self.kernel)
        y = self._grid(x, 0, (stride, padding, self.dilation), self.bias)
        return y.squeeze(0) if single else y

    def _grid(
        self, x: Tensor, j: int, moves: tuple[Any, ...], bias: Tensor | None = None
    ) -> Tensor:
        grid = self.grids.grids[j]
        y: Tensor | None = None
        fine = self.relaxation(j)
        if fine is not None:
            picks = self.picks(j)
            seen = x if picks is None else x.index_select(1, picks)
            y = self._conv(seen, fine, bias, *moves, grid.groups)
            bias = None
        if not grid.transfer_groups:
            return x if y is None else y
        if self._kernel_at(j):
            z = self._conv(x, self.down[j], None, *moves, grid.transfer_groups)
        else:
            z = self._conv(x, self.down[j], None, groups=grid.transfer_groups)
            z = self._grid(z, j + 1, moves)
        coarse = self._conv(z, self.up[j], bias, groups=grid.transfer_groups)
        return coarse if y is None else y + coarse

    def _kernel_at(self, j: int) -> bool:
        """Whether the restriction of grid ``j`` holds the kernel, the stride and the padding."""
        return j == len(self.down) - 1 and self.grids.grids[-1].groups == 0

    def _around(self) -> list[int]:
        """Padding of :func:`torch.nn.functional.pad`, which begins with the last direction."""
        sides = []
        for i in reversed(range(len(self.kernel))):
            if self.padding == "valid":
                sides += [0, 0]
            elif self.padding == "same":
                both = self.dilation[i] * (self.kernel[i] - 1)
                sides += [both // 2, both - both // 2]
            else:
                sides += [int(self.padding[i])] * 2
        return sides

    @torch.no_grad()
    def merge(self) -> nn.Module:
        """A dense convolution that computes the same."""
        weight = self.merge_weight()
        dense = self._dense_type(
            self.in_channels, self.out_channels, self.kernel, self.stride, self.padding,
            self.dilation, 1, self.bias is not None, self.padding_mode,
            device=weight.device, dtype=weight.dtype,
        )  # fmt: skip
        dense.get_parameter("weight").copy_(weight)
        if self.bias is not None:
            dense.get_parameter("bias").copy_(self.bias)
        return dense.train(self.training)

    def extra_repr(self) -> str:
        moves = f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}"
        return f"{super().extra_repr()}, {moves}"


def _each(value: Sequence[int] | int, directions: int) -> tuple[int, ...]:
    values = (value,) * directions if isinstance(value, int) else tuple(value)
    if len(values) != directions:
        raise ValueError(f"{values}: give one number, or one for each of {directions} directions")
    return values
