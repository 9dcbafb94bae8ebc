"""What linear maps and convolutions in a channel hierarchy share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mgic_geo.nn.linear_grids import LinearGrids


class Hierarchical(nn.Module):
    """The factors of a map by its grids: relaxations, restrictions and prolongations.

    Weights lie as those of convolutions do, ``[outputs, inputs of a group, *kernel]``.

    Args:
        grids: Widths and groups.
        kernel: Size of the kernel in each direction; empty for a linear map.
        bias: Learn an additive bias.
        device: Where the weights are.
        dtype: What they are.

    Attributes:
        fine: Relaxation of each grid, None where it has none.
        down: Restrictions.
        up: Prolongations.
        picks: Input channels that the groups of each grid see, ``[groups * group_inputs]``, None
            where they are neighbours.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        grids: LinearGrids,
        kernel: Sequence[int],
        bias: bool,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if math.prod(kernel) != grids.taps:
            raise ValueError(f"kernel {tuple(kernel)} has not the {grids.taps} taps of the grids")
        self.grids = grids
        self.kernel = tuple(kernel)
        ones = (1,) * len(self.kernel)

        def weight(out: int, size: int, taps: int) -> nn.Parameter:
            shape = (out, size, *(self.kernel if taps > 1 else ones))
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.fine = nn.ParameterList()
        self.down = nn.ParameterList()
        self.up = nn.ParameterList()
        self._fine_of: dict[int, int] = {}
        for j, grid in enumerate(grids.grids):
            if grid.groups:
                self._fine_of[j] = len(self.fine)
                self.fine.append(weight(grid.outputs, grid.fan_in, grids.taps))
            if grid.group_inputs:
                picks = torch.arange(grid.groups * grid.fan_in, device=device) % grid.inputs
                self.register_buffer(f"picks{j}", picks)
            if grid.transfer_groups:
                coarse, groups = grids.grids[j + 1], grid.transfer_groups
                taps = grids.restriction_taps(j)
                self.down.append(weight(coarse.inputs, grid.inputs // groups, taps))
                self.up.append(weight(grid.outputs, coarse.outputs // groups, 1))
        if bias:
            self.bias = nn.Parameter(torch.empty(grids.outputs, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Relaxations as torch's own layers; transfers positive with rows of sum 1."""
        for weight in self.fine:
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5.0))
        for transfer in (*self.down, *self.up):
            nn.init.uniform_(transfer, 0.1, 1.0)
            transfer.div_(transfer.flatten(1).sum(dim=1).view(-1, *[1] * (transfer.dim() - 1)))
        if self.bias is not None:
            bound = 1.0 / math.sqrt(self.grids.inputs * self.grids.taps)
            nn.init.uniform_(self.bias, -bound, bound)

    def relaxation(self, j: int) -> nn.Parameter | None:
        """Weight of the relaxation of grid ``j``."""
        return self.fine[self._fine_of[j]] if j in self._fine_of else None

    def picks(self, j: int) -> Tensor | None:
        """Input channels that the groups of grid ``j`` see."""
        return cast("Tensor | None", getattr(self, f"picks{j}", None))

    def merge_weight(self) -> Tensor:
        """The dense weight ``[outputs, inputs, *kernel]`` of the same map, differentiable."""
        grids = self.grids.grids
        weight: Tensor | None = None
        for j in range(len(grids) - 1, -1, -1):
            grid = grids[j]
            if grid.transfer_groups:
                down = _dense(self.down[j], grid.transfer_groups)
                through = down if weight is None else _compose(weight, down)
                weight = _compose(_dense(self.up[j], grid.transfer_groups), through)
            fine = self.relaxation(j)
            if fine is not None:
                own = self._spread(fine, j)
                weight = own if weight is None else own + weight
        assert weight is not None
        return weight

    def _spread(self, fine: Tensor, j: int) -> Tensor:
        """A relaxation over all of its grid's inputs."""
        grid, picks = self.grids.grids[j], self.picks(j)
        if picks is None:
            return _dense(fine, grid.groups)
        columns = picks.view(grid.groups, -1).repeat_interleave(grid.outputs // grid.groups, dim=0)
        columns = columns.view(*columns.shape, *[1] * len(self.kernel)).expand_as(fine)
        whole = fine.new_zeros(grid.outputs, grid.inputs, *fine.shape[2:])
        return whole.scatter_add(1, columns, fine)

    def _merged_bias(self) -> Tensor | None:
        return None if self.bias is None else self.bias.detach().clone()

    def extra_repr(self) -> str:
        chain = " -> ".join(
            f"{g.inputs}x{g.outputs}" + (f"/{g.groups}" if g.groups > 1 else "")
            for g in self.grids.grids
        )
        kernel = f", kernel={self.kernel}" if self.kernel else ""
        return f"{chain}{kernel}, bias={self.bias is not None}"


def _dense(weight: Tensor, groups: int) -> Tensor:
    """A grouped weight with the zeros between its groups."""
    if groups == 1:
        return weight
    out, size = weight.shape[0] // groups, weight.shape[1]
    whole = weight.new_zeros(groups, out, groups, size, *weight.shape[2:])
    index = torch.arange(groups, device=weight.device)
    whole[index, :, index] = weight.view(groups, out, size, *weight.shape[2:])
    return whole.flatten(2, 3).flatten(0, 1)


def _compose(after: Tensor, before: Tensor) -> Tensor:
    """The product of two maps of which at most one has a kernel."""
    if math.prod(before.shape[2:]) > 1:
        return torch.tensordot(after.flatten(1), before, dims=1)
    first = before.flatten(1)
    return torch.movedim(torch.tensordot(after, first, dims=([1], [0])), -1, 1)
