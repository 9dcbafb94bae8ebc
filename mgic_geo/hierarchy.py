"""The channel hierarchy: widths, group sizes and exact counts, as pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count, pairwise

BlockCount = Callable[[int, int], int]


@dataclass(frozen=True)
class Level:
    r"""One channel grid :math:`j` of a :class:`ChannelHierarchy`.

    Args:
        width: Number of channels :math:`c_j`.
        group_size: Channels a group of the relaxation, :math:`s_j`.
        groups: Groups of the relaxation, :math:`c_j / s_j`; 1 on the coarsest grid.
        transfer_groups: Groups of :math:`R_j` and :math:`P_j`; 0 on the coarsest grid.

    Example:
        >>> from mgic_geo.hierarchy import ChannelHierarchy
        >>> for level in ChannelHierarchy(64, group_size=8, coarsest=16).levels:
        ...     print(level.width, level.groups, level.group_size)
        64 8 8
        32 4 8
        16 1 16
    """

    width: int
    group_size: int
    groups: int
    transfer_groups: int


def common_group_size(limit: int, *widths: int) -> int:
    """The largest integer up to ``limit`` that divides every one of ``widths``.

    Args:
        limit: Largest group size, at least 1.
        widths: Channels of all layers of a block.

    Returns:
        Channels a group.

    Example:
        >>> from mgic_geo.hierarchy import common_group_size
        >>> common_group_size(64, 120, 40)  # the example of section 4.3.2
        40
    """
    return next(s for s in range(min(limit, *widths), 0, -1) if all(w % s == 0 for w in widths))


class ChannelHierarchy:
    r"""Nested channel grids :math:`c, c/2, \ldots` down to a width of at most :math:`s_c`.

    There are :math:`\lceil \log_2 (c / s_c) \rceil` coarsenings, none where :math:`c \le s_c`. Each
    grid but the coarsest is relaxed in groups of :math:`s_j`, the largest integer up to :math:`s_g`
    that divides every width its block uses; the coarsest is dense. From `"MGIC:
    Multigrid-in-Channels Neural Network Architectures" <https://arxiv.org/abs/2011.09128>`_,
    sections 3.1 and 3.4.

    Args:
        channels: Width :math:`c` of the finest grid.
        group_size: Group size :math:`s_g`.
        coarsest: Largest width :math:`s_c` of the coarsest grid.
        extra_level: Coarsen until the width is *below* ``coarsest``, as the authors' released code
            does, instead of the text's "at most".
        hidden_widths: Further widths that a block uses on a grid of width ``c``, such as
            ``lambda c: [4 * c]`` for a bottleneck; the group size divides them too.

    Raises:
        ValueError: A number below 1, or a width that cannot be halved often enough.

    Example:
        >>> h = ChannelHierarchy(64, group_size=8, coarsest=16)
        >>> h.widths, [level.groups for level in h.levels]
        ((64, 32, 16), [8, 4, 1])
        >>> h.parameters(7)  # DiffGCN relaxations with R, P and batch norms after P
        8128
    """

    def __init__(
        self,
        channels: int,
        group_size: int,
        coarsest: int,
        extra_level: bool = False,
        hidden_widths: Callable[[int], Iterable[int]] | None = None,
    ) -> None:
        numbers = {"channels": channels, "group_size": group_size, "coarsest": coarsest}
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f"{name} = {value}: it must be at least 1")
        self.channels = channels
        self.group_size = group_size
        self.coarsest = coarsest
        self.extra_level = extra_level
        self.widths = self._widths()

        levels = []
        for width in self.widths[:-1]:
            hidden = hidden_widths(width) if hidden_widths is not None else ()
            size = common_group_size(group_size, width, *hidden)
            half = width // 2
            # R_j has c_j / s_j groups; with an odd s_j that would split the halved grid unevenly,
            # so take the next smaller number of groups that divides it.
            transfer = common_group_size(max(width // size, 1), half)
            levels.append(Level(width, size, width // size, transfer))
        levels.append(Level(self.widths[-1], self.widths[-1], 1, 0))
        self.levels: tuple[Level, ...] = tuple(levels)

    def _widths(self) -> tuple[int, ...]:
        widths = self._halve(self.channels)
        if not self._ends(odd := widths[-1]):
            others = range(self.channels - 1, 0, -1), count(self.channels + 1)
            below, above = (next(c for c in o if self._ends(self._halve(c)[-1])) for o in others)
            raise ValueError(
                f"channels = {self.channels} gives the odd width {odd}, which cannot be halved "
                f"towards coarsest = {self.coarsest}; the nearest channels that work are {below} "
                f"and {above}, or set coarsest to at least {odd + self.extra_level}"
            )
        return widths

    def _ends(self, width: int) -> bool:
        """True where the coarsening may stop."""
        return width == 1 or width < self.coarsest + (not self.extra_level)

    def _halve(self, channels: int) -> tuple[int, ...]:
        """The widths as far as they can be halved."""
        widths = [channels]
        while not self._ends(widths[-1]) and widths[-1] % 2 == 0:
            widths.append(widths[-1] // 2)
        return tuple(widths)

    @property
    def num_coarsenings(self) -> int:
        """Number of restrictions (and prolongations); 0 makes MGIC the dense block."""
        return len(self.widths) - 1

    def transfer_parameters(self) -> int:
        r"""Weights of all :math:`R_j` and :math:`P_j`: :math:`\sum_j 2 c_j c_{j+1} / g_j`."""
        return sum(
            2 * fine.width * coarse.width // fine.transfer_groups
            for fine, coarse in pairwise(self.levels)
        )

    def parameters(self, block: int | BlockCount = 1, norm: int = 2) -> int:
        r"""Parameters of an MGIC block, equation (3.5) without its bound.

        .. math::
            \sum_{j<n} \left( b(c_j, g_j) + \frac{2 c_j c_{j+1}}{g^{RP}_j} + \nu c_j \right)
            + b(c_n, 1)

        Args:
            block: Parameters :math:`b(c, g)` of the relaxation with ``c`` channels in ``g`` groups,
                or the number :math:`d` of weights between two channels (9 for a 3x3 convolution, 7
                for a DiffGCN layer), which stands for :math:`b = d c^2 / g`.
            norm: Parameters a channel of the norm after a prolongation, :math:`\nu`; 0 for none.
        """
        relaxations = sum(self._count(block, level) for level in self.levels)
        return relaxations + self.transfer_parameters() + norm * sum(self.widths[:-1])

    def macs(self, block: int | BlockCount = 1, positions: int = 1, transfer: bool = True) -> int:
        """Multiply-accumulates of an MGIC block; norms and activations count as none.

        Args:
            block: As in :meth:`parameters`, in multiply-accumulates a position.
            positions: Nodes or pixels that the block works on.
            transfer: Count R and P too (the paper's tables seem not to).
        """
        relaxations = sum(self._count(block, level) for level in self.levels)
        return positions * (relaxations + transfer * self.transfer_parameters())

    @staticmethod
    def _count(block: int | BlockCount, level: Level) -> int:
        if callable(block):
            return block(level.width, level.groups)
        return block * level.width * level.width // level.groups

    def __repr__(self) -> str:
        chain = " -> ".join(f"{level.width}/{level.groups}" for level in self.levels)
        return f"{type(self).__name__}({chain})"
