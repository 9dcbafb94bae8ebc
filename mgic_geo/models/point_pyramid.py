"""Point clouds on grids that widen as they thin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mgic_geo.graph.grids import LEAST, Grid, make_grids, scattered_keys
from mgic_geo.graph.operators import check_fit
from mgic_geo.models._classifier import FeatureInfo
from mgic_geo.models._parts import MAX_PARTS, JudgedInParts, with_features
from mgic_geo.nn import MGIC, MLP, DiffGCNConv, GraphBlock, GridPool, LinearEdgeConv
from mgic_geo.nn.grid_pool import OUT
from mgic_geo.nn.norm import Norm

BLOCKS = ("diffgcn", "edge")


class PointPyramid(JudgedInParts):
    r"""Classifies point clouds on nested grids of points, a quarter as many on each, twice as wide.

    :math:`n` points of :math:`c` channels, :math:`n / 4` of :math:`2 c`, :math:`n / 16` of
    :math:`4 c`; ``depth`` graph blocks on each, which see more of the shape at every step, and
    maximum and mean of all grids for a small head. Where the points are few a dense layer is cheap
    in time, but not in weights, which grow with :math:`c^2`; in the channel hierarchy both grow
    with :math:`c`. The grids are ours; the layers between them are those of `PointNet++
    <https://arxiv.org/abs/1706.02413>`_ with one linear map, the blocks those of `MGIC
    <https://arxiv.org/abs/2011.09128>`_.

    .. math::
        x^{(0)} = B^{(0)}(\text{stem}(p)), \qquad
        x^{(l+1)} = B^{(l+1)}\left( \sigma N \max_{j} \left( W x^{(l)}_j + V (p_j - p_i) \right)
        \right)

    Grids are chosen by :func:`~mgic_geo.graph.make_grids`: a sort, no loop over points; the order
    of the file changes nothing. Points that stand alone are no part of them and of no maximum.

    Args:
        mgic: Put the graph convolutions into the channel hierarchy.
        num_classes: Number of classes; 0 leaves the last layer away.
        width: Channels :math:`c` of the finest grid.
        k: Neighbours a node in the graph of each grid.
        group_size: Group size :math:`s_g` of the hierarchy.
        coarsest: Largest width :math:`s_c` of its coarsest grid of channels.
        residual: Add the input of a graph block to its output.
        dropout: Dropout in the head.
        correction_scale: Initial scale of the norms after prolongation, see
            :class:`~mgic_geo.nn.MGIC`.
        norm: Norm of the correction, ``"batch"`` or ``"none"``, see :class:`~mgic_geo.nn.MGIC`.
        block: ``"diffgcn"`` for :class:`~mgic_geo.nn.DiffGCNConv`, ``"edge"`` for a linear
            :class:`~mgic_geo.nn.LinearEdgeConv`.
        depth: Graph blocks on each grid.
        num_grids: Number of grids.
        thinning: Points of a grid for one of the next.
        hidden: Channels of the head.
        aggr: How a point gathers the finer grid, see :class:`~mgic_geo.nn.GridPool`.
        stray: A point is a stray if its fourth neighbour is farther than this many times the median
            of its cloud; None looks for none.
        part_size: In eval mode, deal the points of a cloud out to clouds of about so many points
            and take the mean of their logits, see :class:`PointClassifier`; here in the order of
            :func:`~mgic_geo.graph.scattered_keys`, not in that of the file. None judges it whole.
        max_parts: Largest number of parts, which grow beyond it.
        fit: See :func:`~mgic_geo.graph.differential_operators`.
        in_channels: Features :math:`F` of a point beside its coordinates, which the first layer
            takes side by side with those.

    Shapes:
        - **pos:** :math:`(N, 3)` with **batch** :math:`(N)`, or :math:`(B, n, 3)`, in any unit, at
          least ``min_points`` a cloud
        - **x:** :math:`(N, F)` or :math:`(B, n, F)`; or the last :math:`F` columns of **pos**
        - **output:** logits :math:`(B, C)`

    Example:
        >>> PointPyramid(mgic=True, num_classes=4).eval()(torch.rand(2, 100, 3)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self,
        mgic: bool,
        num_classes: int = 10,
        width: int = 64,
        k: int = 10,
        group_size: int = 8,
        coarsest: int = 16,
        residual: bool = True,
        dropout: float = 0.0,
        correction_scale: float = 0.0,
        norm: Norm = "batch",
        block: str = "diffgcn",
        depth: int = 2,
        num_grids: int = 3,
        thinning: int = 4,
        hidden: int = 256,
        aggr: str = "max",
        stray: float | None = 2.0,
        part_size: int | None = None,
        max_parts: int = MAX_PARTS,
        fit: str = "average",
        in_channels: int = 0,
    ) -> None:
        super().__init__()
        sizes = {"width": width, "k": k, "depth": depth, "num_grids": num_grids, "hidden": hidden}
        sizes |= {"max_parts": max_parts} | ({} if part_size is None else {"part_size": part_size})
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} = {value}: it must be at least 1")
        if k >= LEAST:
            raise ValueError(f"k = {k}: a grid may have {LEAST} points; use {LEAST - 1} or fewer")
        if thinning < 2:
            raise ValueError(f"thinning = {thinning}: it must be at least 2")
        for name, value in {"num_classes": num_classes, "in_channels": in_channels}.items():
            if value < 0:
                raise ValueError(f"{name} = {value}: it must not be negative")
        if stray is not None and stray < 1.0:
            raise ValueError(f"stray = {stray}: it must be at least 1, or None")
        if block not in BLOCKS:
            raise ValueError(f"block = {block!r}: use one of {BLOCKS}")
        if part_size is not None and 3 * part_size // 4 < LEAST:
            raise ValueError(
                f"part_size = {part_size}: parts of {3 * part_size // 4} points may come of it, "
                f"and a pyramid needs {LEAST}; use {-(-4 * LEAST // 3)} or more"
            )
        check_fit(fit)
        widths = [width * 2**level for level in range(num_grids)]
        self.num_classes = num_classes
        self.num_features = 2 * sum(widths)
        self.head_hidden_size = hidden
        self.k = k
        self.thinning = thinning
        self.block = block
        self.stray = stray
        self.part_size = part_size
        self.max_parts = max_parts
        self.fit = fit
        self.in_channels = in_channels

        def conv(in_channels: int, out_channels: int, groups: int) -> nn.Module:
            if block == "edge":
                return LinearEdgeConv(in_channels, out_channels, groups, bias=False)
            return DiffGCNConv(in_channels, out_channels, groups, bias=False)

        def relaxation(channels: int, groups: int) -> nn.Module:
            return GraphBlock(conv(channels, channels, groups), channels, residual)

        def layer(channels: int) -> nn.Module:
            if not mgic:
                return relaxation(channels, 1)
            return MGIC(
                relaxation,
                channels,
                group_size,
                coarsest,
                norm=norm,
                correction_scale=correction_scale,
            )

        self.stem = GraphBlock(conv(3 + in_channels, width, 1), width)
        self.stages = nn.ModuleList(
            nn.ModuleList(layer(channels) for _ in range(depth)) for channels in widths
        )
        self.pools = nn.ModuleList(
            GridPool(channels, 2 * channels, aggr=aggr) for channels in widths[:-1]
        )
        self.head = MLP([self.num_features, hidden], dropout=dropout)
        self.fc = nn.Linear(hidden, num_classes) if num_classes else nn.Identity()
        self._needs_operators = block == "diffgcn"
        self.feature_info = FeatureInfo(
            {
                "num_chs": channels,
                "reduction": thinning**level,
                "module": f"stages.{level}.{depth - 1}",
            }
            for level, channels in enumerate(widths)
        )

    @property
    def min_points(self) -> int:
        """Points that a cloud must have."""
        return LEAST

    def prepare(self, pos: Tensor, batch: Tensor | None = None) -> list[Grid]:
        """The grids and graphs of clouds, once for all layers.

        Args:
            pos: ``[N, 3]`` or ``[B, n, 3]``; features behind the coordinates do not count.
            batch: Cloud of each point, sorted, ``[N]``.
        """
        return make_grids(
            pos[..., :3],
            batch,
            k=self.k,
            num_grids=len(self.stages),
            thinning=self.thinning,
            operators=self._needs_operators,
            fit=self.fit,
            stray=self.stray,
        )

    def forward_features(
        self,
        pos: Tensor,
        batch: Tensor | None = None,
        operators: list[Grid] | None = None,
    ) -> list[Tensor]:
        """Features of the nodes of every grid, the finest first, ``[N_l, C_l]``.

        Args:
            pos: ``[N, 3]`` or ``[B, n, 3]``.
            batch: Cloud of each point, sorted, ``[N]``.
            operators: What :meth:`prepare` returned for them.
        """
        grids = self.prepare(pos, batch) if operators is None else operators
        x = self.stem(pos.reshape(-1, pos.size(-1)), grids[0].graph)
        seen: list[Tensor] = []
        for level, stage in enumerate(self.stages):
            grid = grids[level]
            if level:
                fine = grids[level - 1]
                x = self.pools[level - 1](x, fine.pos, grid.pos, grid.finer, fine.stray)
            for block in stage:  # type: ignore[attr-defined]
                x = block(x, grid.graph)
            seen.append(x)
        return seen

    def forward_intermediates(
        self,
        pos: Tensor,
        batch: Tensor | None = None,
        operators: list[Grid] | None = None,
        indices: Sequence[int] | None = None,
    ) -> list[Tensor]:
        """:meth:`forward_features`, or those of some grids.

        Args:
            pos: ``[N, 3]`` or ``[B, n, 3]``; a cloud is not dealt into parts.
            batch: Cloud of each point, sorted, ``[N]``.
            operators: What :meth:`prepare` returned for them; it says where the nodes are.
            indices: Which grids; all by default.
        """
        features = self.forward_features(pos, batch, operators)
        return features if indices is None else [features[i] for i in indices]

    def forward_head(
        self, features: list[Tensor], grids: list[Grid], clouds: int = 1, pre_logits: bool = False
    ) -> Tensor:
        """Pools the nodes of every grid and classifies; ``pre_logits`` stops before the last layer.

        Args:
            features: What :meth:`forward_features` returned.
            grids: The grids that it was given.
            clouds: Number of clouds, where they are of one size.
            pre_logits: Leave the last layer away.
        """
        x = torch.cat([_pooled(x, grid, clouds) for x, grid in zip(features, grids)], dim=1)
        x = self.head(x)
        return x if pre_logits else self.fc(x)

    def forward(
        self,
        pos: Tensor,
        batch: Tensor | None = None,
        operators: list[Grid] | None = None,
        x: Tensor | None = None,
    ) -> Tensor:
        """Logits ``[B, num_classes]``; what is not given is built.

        Args:
            pos: ``[N, 3]`` or ``[B, n, 3]``.
            batch: Cloud of each point, sorted, ``[N]``.
            operators: What :meth:`prepare` returned for this geometry, as :meth:`deal` gives it.
            x: Features of the points, if ``pos`` does not have them as its last columns.

        Raises:
            ValueError: Features that the model does not take, or lacks.
        """
        pos = with_features(pos, x, self.in_channels)
        dealt = self._deal(pos, batch)
        if dealt is not None:
            pos, batch, _ = dealt
        grids = self.prepare(pos, batch) if operators is None else operators
        features = self.forward_features(pos, batch, grids)
        logits = self.forward_head(features, grids, pos.size(0) if pos.dim() == 3 else 1)
        return logits if dealt is None else dealt.mean(logits)

    def _scattered(self, pos: Tensor, batch: Tensor | None) -> Tensor:
        """In the order of :func:`~mgic_geo.graph.scattered_keys`: parts do not hang on the file."""
        key = scattered_keys(pos[..., :3], batch)
        order = key.argsort(dim=-1, stable=True)
        if batch is not None:
            order = order[batch[order].argsort(stable=True)]
        return pos[order] if pos.dim() == 2 else pos.gather(1, order[..., None].expand_as(pos))


def _pooled(x: Tensor, grid: Grid, clouds: int) -> Tensor:
    """Maximum and mean of the nodes of each cloud that are no strays, ``[B, 2 C]``."""
    top, kept = x, torch.ones_like(x[:, :1])
    if grid.stray is not None:
        top = x.masked_fill(grid.stray[:, None], OUT)
        x = x.masked_fill(grid.stray[:, None], 0.0)
        kept = kept.masked_fill(grid.stray[:, None], 0.0)
    if grid.batch is None:
        top, x, kept = (t.view(clouds, -1, t.size(1)) for t in (top, x, kept))
        return torch.cat([top.amax(dim=1), x.sum(dim=1) / kept.sum(dim=1)], dim=1)
    from torch_geometric.nn import global_add_pool, global_max_pool  # slow to import

    mean = global_add_pool(x, grid.batch) / global_add_pool(kept, grid.batch)
    return torch.cat([global_max_pool(top, grid.batch), mean], dim=1)
