"""The point-cloud classifier of Table 10."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mgic_geo.graph import Neighborhoods, differential_operators, knn_graph
from mgic_geo.graph.operators import check_fit
from mgic_geo.models._classifier import FeatureInfo
from mgic_geo.models._parts import MAX_PARTS, JudgedInParts, with_features
from mgic_geo.nn import MGIC, MLP, DenseBlock, DiffGCNConv, GraphBlock
from mgic_geo.nn.graph_block import Graph

Conv = Callable[[int, int, int], nn.Module]


class Scales(NamedTuple):
    """Two graphs of the same points: neighbours near by, and as many from farther around."""

    near: Graph
    far: Graph


Geometry = Graph | Scales
_POOLS = ("max", "max_mean")


class PointClassifier(JudgedInParts):
    r"""Classifies point clouds: graph layers on the k-NN graph, global max pooling, a small head.

    Table 10 of `MGIC <https://arxiv.org/abs/2011.09128>`_: G-conv, 2 x G-conv, MLP, 3 x G-conv,
    MLP, max pooling, 3 x MLP, FC, all of one width. The first G-conv takes the coordinates and is
    dense; with ``mgic=True`` the other five are MGIC blocks.

    Args:
        conv: ``conv(in_channels, out_channels, groups)`` builds a graph convolution.
        mgic: Put the graph convolutions into the channel hierarchy.
        num_classes: Number of classes; 0 leaves the last layer away.
        width: Channels of all layers.
        k: Neighbours a node in the graph.
        group_size: Group size :math:`s_g` of the hierarchy.
        coarsest: Largest width :math:`s_c` of its coarsest grid.
        residual: Add the input of a graph block to its output where the widths agree.
        dropout: Dropout in the head.
        correction_scale: Initial scale of the norms after prolongation, see
            :class:`~mgic_geo.nn.MGIC`.
        aggregate: The last MLP before the pooling sees the outputs of all six graph layers side by
            side, as in `DGCNN <https://arxiv.org/abs/1801.07829>`_, not that of the last alone.
        embedding: Channels of that MLP's output, ``width`` if not given.
        embedding_groups: Groups of that MLP: with as many times the channels it has the weights and
            the work of a dense one, and the head sees more of them.
        pool: How nodes are pooled: ``"max"``, or ``"max_mean"`` for maximum and mean side by side.
        dilation: The last three G-convs take every ``dilation``-th of the ``k * dilation`` nearest
            neighbours, and so see farther at the same cost, as in `DeepGCNs
            <https://arxiv.org/abs/1904.03751>`_.
        part_size: In eval mode, deal the points of a cloud out to clouds of about so many points,
            the first to the first and so on, and take the mean of their logits: many judgements at
            the work of one, each on a graph as coarse as that of a training step that sees as many
            points. The order of the points must be random then, as it is after sampling. A cloud of
            :math:`n` points has :math:`n` over this number of parts, rounded and at least one. None
            judges it whole.
        max_parts: Largest number of parts, which grow beyond it.
        fit: How :func:`~mgic_geo.graph.differential_operators` takes derivatives, where the graph
            convolutions need them.
        in_channels: Features :math:`F` of a point beside its coordinates, such as normals and
            colours; the first G-conv takes them side by side with those.

    Shapes:
        - **pos:** :math:`(N, 3)` with **batch** :math:`(N)`, or :math:`(B, n, 3)`; any unit of
          length, though the shipped weights expect clouds centred and scaled to the unit sphere
        - **x:** :math:`(N, F)` or :math:`(B, n, F)`; or the last :math:`F` columns of **pos**
        - **output:** logits :math:`(B, C)`

    Example:
        >>> import torch
        >>> from mgic_geo.models import PointClassifier
        >>> from mgic_geo.nn import DiffGCNConv
        >>> model = PointClassifier(DiffGCNConv, mgic=True, num_classes=4, width=32, k=8).eval()
        >>> model(torch.rand(2, 64, 3)).shape  # two clouds of 64 points
        torch.Size([2, 4])
    """

    def __init__(
        self,
        conv: Conv,
        mgic: bool,
        num_classes: int = 10,
        width: int = 64,
        k: int = 10,
        group_size: int = 8,
        coarsest: int = 16,
        residual: bool = True,
        dropout: float = 0.0,
        correction_scale: float = 0.0,
        aggregate: bool = False,
        embedding: int | None = None,
        pool: str = "max",
        dilation: int = 1,
        embedding_groups: int = 1,
        part_size: int | None = None,
        max_parts: int = MAX_PARTS,
        fit: str = "average",
        in_channels: int = 0,
    ) -> None:
        super().__init__()
        embedding = width if embedding is None else embedding
        sizes = {"width": width, "k": k, "embedding": embedding, "dilation": dilation}
        sizes |= {"max_parts": max_parts} | ({} if part_size is None else {"part_size": part_size})
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name} = {value}: it must be at least 1")
        least = k * dilation + 1
        if part_size is not None and 3 * part_size // 4 < least:
            raise ValueError(
                f"part_size = {part_size}: parts of {3 * part_size // 4} points may come of it, "
                f"and k = {k} with dilation = {dilation} needs {least}; use "
                f"{-(-4 * least // 3)} or more"
            )
        for name, value in {"num_classes": num_classes, "in_channels": in_channels}.items():
            if value < 0:
                raise ValueError(f"{name} = {value}: it must not be negative")
        check_fit(fit)
        if pool not in _POOLS:
            raise ValueError(f"pool = {pool!r}: use one of {_POOLS}")
        self.num_classes = num_classes
        self.num_features = embedding
        self.head_hidden_size = width
        self.k = k
        self.aggregate = aggregate
        self.pool = pool
        self.dilation = dilation
        self.part_size = part_size
        self.max_parts = max_parts
        self.fit = fit
        self.in_channels = in_channels

        def relaxation(channels: int, groups: int) -> nn.Module:
            return GraphBlock(conv(channels, channels, groups), channels, residual)

        def stage(depth: int) -> nn.ModuleList:
            return nn.ModuleList(
                MGIC(relaxation, width, group_size, coarsest, correction_scale=correction_scale)
                if mgic
                else relaxation(width, 1)
                for _ in range(depth)
            )

        self.stem = GraphBlock(conv(3 + in_channels, width, 1), width)
        self.stage1 = stage(2)
        self.mix1 = DenseBlock(width, width)
        self.stage2 = stage(3)
        layers = 1 + len(self.stage1) + len(self.stage2)
        nodes = layers * width if aggregate else width
        self.mix2 = DenseBlock(nodes, embedding, embedding_groups)
        pooled = embedding if pool == "max" else 2 * embedding
        self.head = MLP([pooled, width, width, width], dropout=dropout)
        self.fc = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        self._needs_operators = isinstance(self.stem.conv, DiffGCNConv)
        names = ["stem", *(f"stage1.{i}" for i in range(2)), "mix1"]
        names += [*(f"stage2.{i}" for i in range(3)), "mix2"]
        self.feature_info = FeatureInfo(
            {"num_chs": width, "reduction": 1, "module": name} for name in names
        )
        self.feature_info[-1]["num_chs"] = embedding

    @property
    def min_points(self) -> int:
        """Points that a cloud must have, for every one of them to have its neighbours."""
        return self.k * self.dilation + 1

    def prepare(
        self, pos: Tensor, batch: Tensor | None = None, edge_index: Tensor | None = None
    ) -> Geometry:
        """Builds what the layers need of the geometry, once for all of them.

        Args:
            pos: ``[N, 3]`` or ``[B, n, 3]``; features behind the coordinates do not count.
            batch: Cloud of each point, ``[N]``.
            edge_index: The graph ``[2, E]``; by default the k-NN graph. Not with ``dilation``.

        Raises:
            ValueError: A graph is given where two of them are needed.
        """
        if edge_index is not None and self.dilation > 1:
            raise ValueError(
                f"dilation = {self.dilation} takes two graphs of the points: leave edge_index away"
            )
        pos = pos[..., :3] if self.in_channels else pos
        if edge_index is None:
            edge_index = knn_graph(
                pos, self.k * self.dilation, batch, num_workers=None, strict=True
            )
        pos = pos.reshape(-1, 3)
        if self.dilation == 1:
            return self._graph(pos, edge_index)
        # the neighbours of a node stand in the order of their distance
        edges = edge_index.view(2, pos.size(0), self.k * self.dilation)
        near, far = edges[..., : self.k], edges[..., self.dilation - 1 :: self.dilation]
        return Scales(*(self._graph(pos, part.reshape(2, -1)) for part in (near, far)))

    def _graph(self, pos: Tensor, edge_index: Tensor) -> Graph:
        graph = Neighborhoods.from_edge_index(edge_index, pos.size(0))
        return differential_operators(pos, graph, self.fit) if self._needs_operators else graph

    def forward_features(
        self,
        pos: Tensor,
        batch: Tensor | None = None,
        edge_index: Tensor | None = None,
        operators: Geometry | None = None,
        x: Tensor | None = None,
    ) -> Tensor:
        """Node features ``[N, embedding]``, or ``[B, n, embedding]`` for ``pos [B, n, 3]``."""
        return self.forward_intermediates(pos, batch, edge_index, operators, x, indices=[-1])[0]

    def forward_intermediates(
        self,
        pos: Tensor,
        batch: Tensor | None = None,
        edge_index: Tensor | None = None,
        operators: Geometry | None = None,
        x: Tensor | None = None,
        indices: Sequence[int] | None = None,
    ) -> list[Tensor]:
        """Node features behind the eight layers ahead of the pooling, see :attr:`feature_info`.

        Args:
            pos: ``[N, 3]`` or ``[B, n, 3]``; a cloud is not dealt into parts.
            batch: Cloud of each point, sorted, ``[N]``.
            edge_index: The graph ``[2, E]``.
            operators: What :meth:`prepare` returned for this geometry.
            x: Node features beside the coordinates, as in :meth:`forward`.
            indices: Which layers; all by default.

        Returns:
            ``[N, C]`` each, or ``[B, n, C]`` for ``pos [B, n, 3]``.
        """
        pos = with_features(pos, x, self.in_channels)
        graph = self.prepare(pos, batch, edge_index) if operators is None else operators
        near, far = graph if isinstance(graph, Scales) else (graph, graph)
        count = len(self.feature_info)
        wanted = [i % count for i in (range(count) if indices is None else indices)]
        x = self.stem(pos.reshape(-1, pos.size(-1)), near)
        of_graphs, maps = [x], {0: x}
        for i, block in enumerate([*self.stage1, self.mix1, *self.stage2], 1):
            if block is self.mix1:
                x = block(x)
            else:
                x = block(x, near if i <= len(self.stage1) else far)
                of_graphs += [x] if self.aggregate else []
            if i in wanted:
                maps[i] = x
        if count - 1 in wanted:
            maps[count - 1] = self.mix2(torch.cat(of_graphs, dim=1) if self.aggregate else x)
        shape = pos.shape[:-1]
        return [maps[i] if pos.dim() == 2 else maps[i].view(*shape, -1) for i in wanted]

    def forward_head(
        self, x: Tensor, batch: Tensor | None = None, pre_logits: bool = False
    ) -> Tensor:
        """Pools node features and classifies them; ``pre_logits`` stops before the last layer."""
        x = self.head(self._pooled(x, batch))
        return x if pre_logits else self.fc(x)

    def _pooled(self, x: Tensor, batch: Tensor | None) -> Tensor:
        """Maximum, and mean if asked for, over the nodes of each cloud, ``[B, P]``."""
        if x.dim() == 2 and batch is None:
            x = x[None]
        if x.dim() == 3:
            pooled = [x.amax(dim=1), x.mean(dim=1)]
        else:
            from torch_geometric.nn import global_max_pool, global_mean_pool  # slow to import

            pooled = [global_max_pool(x, batch), global_mean_pool(x, batch)]
        return torch.cat(pooled if self.pool == "max_mean" else pooled[:1], dim=1)

    def forward(
        self,
        pos: Tensor,
        batch: Tensor | None = None,
        edge_index: Tensor | None = None,
        operators: Geometry | None = None,
        x: Tensor | None = None,
    ) -> Tensor:
        """Logits ``[B, num_classes]``; what is not given is built.

        Args:
            pos: ``[N, 3]`` or ``[B, n, 3]``.
            batch: Cloud of each point, sorted, ``[N]``.
            edge_index: The graph ``[2, E]``. Not with ``part_size`` in eval mode.
            operators: What :meth:`prepare` returned for this geometry, as :meth:`deal` gives it.
            x: Features of the points, ``[N, F]`` or ``[B, n, F]``, if ``pos`` does not have them as
                its last columns.

        Raises:
            ValueError: A graph of a whole cloud that is judged in parts; features that the model
                does not take, or lacks.
        """
        pos = with_features(pos, x, self.in_channels)
        dealt = self._deal(pos, batch)
        if dealt is None:
            features = self.forward_features(pos, batch, edge_index, operators)
            return self.forward_head(features, batch)
        if edge_index is not None:
            raise ValueError(
                f"part_size = {self.part_size} builds a graph for each part: leave edge_index away"
            )
        pos, batch, _ = dealt
        features = self.forward_features(pos, batch, None, operators)
        return dealt.mean(self.forward_head(features, batch))
