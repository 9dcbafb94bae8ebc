"""Point clouds to a class for each point."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mgic_geo.models._parts import with_features
from mgic_geo.models.point_classifier import Conv, Geometry, PointClassifier
from mgic_geo.nn import MLP, GroupedPointwise


class PointSegmenter(PointClassifier):
    r"""Gives every point of a cloud a class: the graph layers of :class:`PointClassifier`.

    The features of a node are those of all six graph layers side by side, mixed to
    :math:`x_i` as in `DGCNN <https://arxiv.org/abs/1801.07829>`_. What the whole cloud is, its
    maximum over the nodes, is added to each of them, and a small head judges the sum:

    .. math::
        y_i = \text{fc}\left( \text{MLP}\left( x_i + V \, [\max_j x_j,\, e_c] \right) \right)

    A linear map of :math:`x_i + V g` sees as much as one of :math:`[x_i, g]`, at the cost of
    :math:`V g` once a cloud instead of once a node. :math:`e_c` is the one-hot code of the cloud's
    category, where the network is told one.

    Args:
        conv: ``conv(in_channels, out_channels, groups)`` builds a graph convolution.
        mgic: Put the graph convolutions into the channel hierarchy.
        num_classes: Number of classes of points; 0 leaves the last layer away.
        width: Channels of all layers.
        k: Neighbours a node in the graph.
        group_size: Group size :math:`s_g` of the hierarchy.
        coarsest: Largest width :math:`s_c` of its coarsest grid.
        residual: Add the input of a graph block to its output where the widths agree.
        dropout: Dropout in the head.
        correction_scale: Initial scale of the norms after prolongation, see
            :class:`~mgic_geo.nn.MGIC`.
        embedding: Channels of :math:`x_i`, ``width`` if not given.
        pool: What the head knows of the cloud: ``"max"``, or ``"max_mean"`` for maximum and mean.
        dilation: As in :class:`PointClassifier`.
        embedding_groups: Groups of the map to :math:`x_i`.
        fit: How :func:`~mgic_geo.graph.differential_operators` takes derivatives.
        in_channels: Features :math:`F` of a point beside its coordinates.
        categories: Number of categories of clouds, where the head is told which; 0 for none.

    Shapes:
        - **pos:** :math:`(N, 3)` with **batch** :math:`(N)`, or :math:`(B, n, 3)`, any number of
          points above ``min_points``
        - **x:** :math:`(N, F)` or :math:`(B, n, F)`; or the last :math:`F` columns of **pos**
        - **category:** :math:`(B)`, int64
        - **output:** logits :math:`(N, C)` or :math:`(B, n, C)`, in the order of the points

    Raises:
        ValueError: A number is out of range.

    Example:
        >>> import torch
        >>> from mgic_geo.models import PointSegmenter
        >>> from mgic_geo.nn import DiffGCNConv
        >>> model = PointSegmenter(DiffGCNConv, mgic=True, num_classes=4, width=32, k=8).eval()
        >>> model(torch.rand(2, 64, 3)).shape  # two clouds of 64 points, four classes
        torch.Size([2, 64, 4])
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
        embedding: int | None = None,
        pool: str = "max",
        dilation: int = 1,
        embedding_groups: int = 1,
        fit: str = "average",
        in_channels: int = 0,
        categories: int = 0,
    ) -> None:
        if categories < 0:
            raise ValueError(f"categories = {categories}: it must not be negative")
        super().__init__(
            conv,
            mgic,
            num_classes,
            width,
            k,
            group_size,
            coarsest,
            residual,
            dropout,
            correction_scale,
            aggregate=True,
            embedding=embedding,
            pool=pool,
            dilation=dilation,
            embedding_groups=embedding_groups,
            fit=fit,
            in_channels=in_channels,
        )
        self.categories = categories
        nodes = self.num_features
        pooled = nodes if pool == "max" else 2 * nodes
        self.context = GroupedPointwise(pooled + categories, nodes, bias=False)
        self.head = MLP([nodes, width, width], dropout=dropout)

    def forward_head(
        self,
        x: Tensor,
        batch: Tensor | None = None,
        pre_logits: bool = False,
        category: Tensor | None = None,
    ) -> Tensor:
        """Judges every node; ``pre_logits`` stops before the last layer.

        Args:
            x: What :meth:`forward_features` returned, ``[N, C]`` or ``[B, n, C]``.
            batch: Cloud of each node, sorted, ``[N]``.
            pre_logits: Leave the last layer away.
            category: Category of each cloud, ``[B]``.

        Raises:
            ValueError: A category is lacking, or the network takes none.
        """
        whole = self._code(self._pooled(x, batch), category)
        context = self.context(whole)
        if x.dim() == 3:
            rows = (x + context.unsqueeze(1)).reshape(-1, x.size(-1))
        else:
            rows = x + (context if batch is None else context.index_select(0, batch))
        rows = self.head(rows)
        rows = rows if pre_logits else self.fc(rows)
        return rows if x.dim() == 2 else rows.view(x.size(0), x.size(1), -1)

    def forward(
        self,
        pos: Tensor,
        batch: Tensor | None = None,
        edge_index: Tensor | None = None,
        operators: Geometry | None = None,
        x: Tensor | None = None,
        category: Tensor | None = None,
    ) -> Tensor:
        """Logits ``[N, num_classes]`` or ``[B, n, num_classes]``; what is not given is built.

        Args:
            pos: ``[N, 3]`` or ``[B, n, 3]``.
            batch: Cloud of each point, sorted, ``[N]``.
            edge_index: The graph ``[2, E]``.
            operators: What :meth:`prepare` returned for this geometry.
            x: Features of the points, if ``pos`` does not have them as its last columns.
            category: Category of each cloud, ``[B]``, for a network with ``categories``.

        Raises:
            ValueError: Features or a category that the model does not take, or lacks.
        """
        pos = with_features(pos, x, self.in_channels)
        features = self.forward_features(pos, batch, edge_index, operators)
        return self.forward_head(features, batch, category=category)

    def _code(self, pooled: Tensor, category: Tensor | None) -> Tensor:
        """With the one-hot code of the categories behind it."""
        if (category is None) != (self.categories == 0):
            raise ValueError(
                f"categories = {self.categories}: "
                + ("this network takes no category" if category is not None else "give category")
            )
        if category is None:
            return pooled
        code: Any = F.one_hot(category, self.categories)
        return torch.cat([pooled, code.to(pooled.dtype)], dim=1)
