"""From a grid of points to the next coarser one."""

from __future__ import annotations

from torch import Tensor, nn

from mgic_geo.graph import Neighborhoods
from mgic_geo.kernels import neighbor_max
from mgic_geo.nn._reset import reset
from mgic_geo.nn.norm import Norm, make_norm, norm_relu_add
from mgic_geo.nn.pointwise import GroupedPointwise

OUT = -1e4
"""Below all features, and a number in half precision: what a maximum is not to take."""
AGGREGATIONS = ("max", "mean")


class GridPool(nn.Module):
    r"""Gathers features and offsets of the finer grid around each point of a coarser one.

    .. math::
        y_i = \sigma\left( N\left( \max_{j \in N(i)} \left( W x_j + V (p_j - p_i) \right)
        \right) \right)

    A set abstraction of `PointNet++ <https://arxiv.org/abs/1706.02413>`_ with one linear layer,
    which makes it :math:`\max_j (W x_j + V p_j) - V p_i`: products on the points of the finer grid,
    and no tensor of edges.

    Args:
        in_channels: Features :math:`x_j`.
        out_channels: Features :math:`y_i`.
        groups: Groups of :math:`W`.
        aggr: ``"max"``, or ``"mean"``, which no single neighbour decides.
        norm: As in :class:`~mgic_geo.nn.MGIC`.

    Shapes:
        - **input:** features :math:`(N, C_{in})` and positions :math:`(N, 3)` of the finer grid,
          positions :math:`(M, 3)` of the coarser one, and neighbours of its points on the finer
        - **output:** :math:`(M, C_{out})`

    Example:
        >>> from mgic_geo.graph import make_grids
        >>> fine, coarse = make_grids(torch.rand(1, 64, 3), num_grids=2)
        >>> GridPool(8, 16)(torch.randn(64, 8), fine.pos, coarse.pos, coarse.finer).shape
        torch.Size([16, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int = 1,
        aggr: str = "max",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if aggr not in AGGREGATIONS:
            raise ValueError(f"aggr = {aggr!r}: use one of {AGGREGATIONS}")
        self.aggr = aggr
        self.features = GroupedPointwise(in_channels, out_channels, groups, bias=False)
        self.offset = GroupedPointwise(3, out_channels, bias=False)
        self.norm = make_norm(norm, out_channels)

    def reset_parameters(self) -> None:
        for child in self.children():
            reset(child)

    def forward(
        self,
        x: Tensor,
        pos: Tensor,
        centers: Tensor,
        finer: Neighborhoods,
        stray: Tensor | None = None,
    ) -> Tensor:
        """Applies the layer.

        Args:
            x: Features of the finer grid ``[N, C_in]``.
            pos: Its points ``[N, 3]``.
            centers: Points of the coarser grid ``[M, 3]``.
            finer: Neighbours of each of them on the finer grid.
            stray: Points of the finer grid that nobody is to gather, bool ``[N]``.
        """
        pos, centers = pos.to(x.dtype), centers.to(x.dtype)
        u = self.features(x) + self.offset(pos)
        if stray is not None:
            u = u.masked_fill(stray[:, None], OUT if self.aggr == "max" else 0.0)
        if self.aggr == "max":
            u, _ = neighbor_max(u, finer.rowptr, finer.col)
        else:
            u = _mean(u, finer, stray)
        return norm_relu_add(self.norm, u - self.offset(centers), relu=True)

    def extra_repr(self) -> str:
        return f"aggr={self.aggr!r}"


def _mean(u: Tensor, finer: Neighborhoods, stray: Tensor | None) -> Tensor:
    """Over the neighbours that are no strays; each point has as many neighbours."""
    col = finer.col.long().view(finer.num_nodes, -1)
    total = u.index_select(0, col.flatten()).view(*col.shape, -1).sum(dim=1)
    if stray is None:
        return total / col.size(1)
    count = (~stray).to(u.dtype).index_select(0, col.flatten()).view(col.shape).sum(dim=1)
    return total / count.clamp_min(1.0)[:, None]
