"""The channel grids of a single linear map, as pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mgic_geo.hierarchy import common_group_size


@dataclass(frozen=True)
class LinearGrid:
    """One channel grid of a linear map in a hierarchy.

    Args:
        inputs: Width on the side of the inputs.
        outputs: Width on the side of the outputs.
        groups: Groups of the relaxation: 0 for a grid without one, 1 for a dense one.
        group_inputs: Input channels that a group sees; 0 for ``inputs / groups``. With more or less
            than that the groups share channels, or leave some to the coarser grids.
        transfer_groups: Groups of the maps to the next coarser grid; 0 on the coarsest.

    Example:
        >>> LinearGrid(64, 128, groups=8).fan_in
        8
    """

    inputs: int
    outputs: int
    groups: int
    group_inputs: int = 0
    transfer_groups: int = 0

    @property
    def fan_in(self) -> int:
        """Input channels that one output of the relaxation sees."""
        return self.group_inputs or (self.inputs // self.groups if self.groups else 0)


@dataclass(frozen=True)
class LinearGrids:
    r"""The grids of a map :math:`W` from ``inputs`` to ``outputs`` channels.

    The multigrid cycle of a linear relaxation :math:`B_0` and a coarse map :math:`C` is

    .. math::
        W = B_0 \left( I + P (C - I) R \right) = B_0 + (B_0 P) (C - I) R ,

    and :math:`B_0 P` has the groups of :math:`P`. So with transfers that are learned it is the sum
    of a block-diagonal map and a map through the coarse grid, :math:`W = B_0 + P_0 W_1 R_0`, where
    :math:`W_1` has the same form on the next grid. Numerical linear algebra knows these as
    :math:`\mathcal H^2` matrices; groups of :math:`s` and a coarsest grid of fixed width make them
    linear in the width.

    Args:
        grids: From the finest to the coarsest.
        taps: Number :math:`K` of weights of the kernel between two channels; 1 without one.

    Raises:
        ValueError: Groups do not divide the widths.

    Example:
        >>> fine, coarse = LinearGrid(64, 64, 8, transfer_groups=1), LinearGrid(16, 16, 1)
        >>> grids = LinearGrids((fine, coarse))
        >>> grids.parameters(), grids.macs(outputs=10)
        (2816, 28160)
    """

    grids: tuple[LinearGrid, ...]
    taps: int = 1

    def __post_init__(self) -> None:
        if not self.grids:
            raise ValueError("grids is empty: give at least one")
        for j, grid in enumerate(self.grids):
            finer = self.grids[j - 1].transfer_groups if j else 1
            whole = [grid.transfer_groups, finer, 0 if grid.group_inputs else grid.groups]
            if grid.outputs % (grid.groups or 1) or any(grid.inputs % (g or 1) for g in whole):
                raise ValueError(
                    f"grid {j}: {grid.groups} groups, and transfers of {grid.transfer_groups}, do "
                    f"not divide {grid.inputs} inputs and {grid.outputs} outputs"
                )
            if (j < len(self.grids) - 1) != (grid.transfer_groups > 0):
                raise ValueError(
                    f"grid {j}: transfer_groups = {grid.transfer_groups}: at least 1 on all grids "
                    "but the coarsest, and 0 there"
                )
        last = self.grids[-1]
        if last.groups == 0 and last.inputs != last.outputs:
            raise ValueError(
                f"the coarsest grid has no map from {last.inputs} to {last.outputs} channels: "
                "give it groups=1"
            )
        if last.groups == 0 and len(self.grids) == 1:
            raise ValueError("a single grid needs a relaxation: give it groups of at least 1")

    @property
    def inputs(self) -> int:
        return self.grids[0].inputs

    @property
    def outputs(self) -> int:
        return self.grids[0].outputs

    def restriction_taps(self, j: int) -> int:
        """Kernel of :math:`R_j`: 1, but where the grid below has no map of its own to hold it."""
        last = j == len(self.grids) - 2
        return self.taps if last and self.grids[-1].groups == 0 else 1

    def parts(self) -> list[tuple[str, int, bool]]:
        """Each factor: its name, weights, and whether it works at the resolution of the inputs."""
        found = []
        for j, grid in enumerate(self.grids):
            if grid.groups:
                found.append((f"fine{j}", grid.outputs * grid.fan_in * self.taps, False))
            if grid.transfer_groups:
                coarse, taps = self.grids[j + 1], self.restriction_taps(j)
                down = coarse.inputs * grid.inputs // grid.transfer_groups * taps
                found.append((f"down{j}", down, taps == 1 < self.taps))
                found.append(
                    (f"up{j}", grid.outputs * coarse.outputs // grid.transfer_groups, False)
                )
        return found

    def parameters(self) -> int:
        """Weights, without a bias."""
        return sum(weights for _, weights, _ in self.parts())

    def macs(self, outputs: int = 1, inputs: int | None = None) -> int:
        """Multiply-accumulates.

        Args:
            outputs: Positions of the output: rows, or pixels behind the stride.
            inputs: Positions of the input, where restrictions of a kernel work; as many by default.
        """
        inputs = outputs if inputs is None else inputs
        return sum(weights * (inputs if early else outputs) for _, weights, early in self.parts())


def nested_grids(
    inputs: int, outputs: int, group_size: int, coarsest: int, taps: int = 1
) -> LinearGrids:
    """The paper's grids: both widths are halved until the smaller is at most ``coarsest``.

    Relaxations and transfers are grouped, the coarsest grid is dense. Groups have at most
    ``group_size`` channels on the narrower side; a width that is odd ends the coarsening.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        group_size: Largest number of channels of a group.
        coarsest: Largest width of the coarsest grid.
        taps: Weights of the kernel between two channels.

    Returns:
        The grids, the finest first.

    Raises:
        ValueError: A number is not at least 1.

    Example:
        >>> grids = nested_grids(64, 64, group_size=8, coarsest=16)
        >>> [(g.inputs, g.outputs, g.groups) for g in grids.grids], grids.parameters()
        ([(64, 64, 8), (32, 32, 4), (16, 16, 1)], 1792)
    """
    _check(inputs=inputs, outputs=outputs, group_size=group_size, coarsest=coarsest, taps=taps)
    grids = []
    while min(inputs, outputs) > coarsest and inputs % 2 == outputs % 2 == 0:
        half = math.gcd(inputs // 2, outputs // 2)
        groups = _groups(inputs, outputs, group_size)
        transfer = common_group_size(groups, half)
        grids.append(LinearGrid(inputs, outputs, groups, transfer_groups=transfer))
        inputs, outputs = inputs // 2, outputs // 2
    grids.append(LinearGrid(inputs, outputs, 1))
    return LinearGrids(tuple(grids), taps)


def two_grids(
    inputs: int,
    outputs: int,
    group_size: int,
    coarsest: int | tuple[int, int],
    taps: int = 1,
    core: bool | None = None,
    group_inputs: int | None = None,
    core_groups: int = 1,
) -> LinearGrids:
    """A fine grid relaxed in groups, and at once the coarsest, through transfers over all channels.

    With a kernel and without a relaxation these are known decompositions: a core that is dense is
    Tucker's (`Kim et al. <https://arxiv.org/abs/1511.06530>`_), one in groups that of block terms
    (`De Lathauwer <https://doi.org/10.1137/070690729>`_).

    Args:
        inputs: Input channels.
        outputs: Output channels.
        group_size: Largest number of outputs of a group; 0 for no relaxation, which leaves a map of
            low rank.
        coarsest: Width of the coarse grid, or its widths on the sides of the inputs and of the
            outputs; 0 for none, which leaves the relaxation.
        taps: Weights of the kernel between two channels.
        core: Whether the coarse grid has a dense map of its own, which then holds the kernel; by
            default where there is a kernel. Without one the restriction holds it.
        group_inputs: Inputs that a group sees, any ones; by default as many as it has outputs.
        core_groups: Groups of the coarse grid's own map. Its width may then exceed that of the
            fine grid.

    Returns:
        One grid, or two.

    Raises:
        ValueError: A width is not at least 1, or neither grid would hold a map.

    Example:
        >>> [(g.inputs, g.groups) for g in two_grids(64, 64, group_size=8, coarsest=16).grids]
        [(64, 8), (16, 0)]
    """
    _check(inputs=inputs, outputs=outputs, taps=taps)
    groups = size = 0
    if group_size:
        size = common_group_size(group_size, outputs)
        groups, size = outputs // size, min(group_inputs or size, inputs)
    sides = (coarsest, coarsest) if isinstance(coarsest, int) else coarsest
    if not any(sides):
        return LinearGrids((_fine(inputs, outputs, groups, size, 0),), taps)
    core = taps > 1 if core is None else core
    coarse = LinearGrid(*sides, core_groups if core else 0)
    return LinearGrids((_fine(inputs, outputs, groups, size, 1), coarse), taps)


def _fine(inputs: int, outputs: int, groups: int, size: int, transfer: int) -> LinearGrid:
    return LinearGrid(inputs, outputs, groups, size, transfer)


def _groups(inputs: int, outputs: int, group_size: int) -> int:
    """Groups of both widths, the smaller with at most ``group_size`` channels in each."""
    both, narrow = math.gcd(inputs, outputs), min(inputs, outputs)
    fitting = (g for g in range(1, both) if both % g == 0 and narrow // g <= group_size)
    return next(fitting, both)


def _check(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} = {value}: it must be at least 1")
