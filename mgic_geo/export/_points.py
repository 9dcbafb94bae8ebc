"""Point networks on regular graphs: every node has k neighbours, found inside the network."""

from __future__ import annotations

import copy
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from mgic_geo.export._maps import GroupedMap
from mgic_geo.export._operators import average_weights, least_squares_weights
from mgic_geo.models import PointClassifier, PointSegmenter
from mgic_geo.models.point_classifier import Scales
from mgic_geo.nn import MGIC, BatchNorm, DenseBlock, DiffGCNConv, GraphBlock, Prolongation
from mgic_geo.nn.conv.linear_edge_conv import LinearEdgeConv, LinearMap, linear_map
from mgic_geo.nn.pointwise import GroupedPointwise

# Of squared distances in the unit sphere: beyond all of them, and finite for engines that multiply
# masks.
_FAR = 1e30
Model = TypeVar("Model", bound=nn.Module)


class RegularGraph(NamedTuple):
    """Neighbours of every node, all as many, and what the layers need of them.

    Args:
        rows: Rows of the neighbours in ``[B * n, C]``, int64 ``[B * n * K]``.
        degree: :math:`K`; with ``weight`` the node itself is the last of them.
        weight: ``[B * n, 7, K]``, features and the six derivatives, or None.
    """

    rows: Tensor
    degree: int
    weight: Tensor | None

    def gather(self, x: Tensor) -> Tensor:
        """The neighbours' rows of ``x [B * n, C]`` as ``[B * n, K, C]``."""
        return x.index_select(0, self.rows).view(-1, self.degree, x.size(1))


def nearest(pos: Tensor, k: int) -> Tensor:
    """The ``k`` nearest points of each, itself aside, int64 ``[B, n, k]``; fails for fewer.

    By differences of coordinates: the usual expansion of squares loses the digits that tell two
    near neighbours apart.
    """
    square = torch.zeros((), dtype=pos.dtype)
    for axis in pos.unbind(-1):
        square = square + (axis.unsqueeze(2) - axis.unsqueeze(1)).square()
    places = torch.arange(pos.size(1), device=pos.device)
    own = places.unsqueeze(1) == places.unsqueeze(0)
    # one more than needed: where the cloud is too small, the engine says so
    found = square.masked_fill(own, _FAR).topk(k + 1, dim=2, largest=False).indices
    return found[:, :, :k]


class RegularPointClassifier(nn.Module):
    """A :class:`~mgic_geo.models.PointClassifier` of plain operators, from ``pos [B, n, 3]``.

    Args:
        model: The network; its layers are replaced in a copy.
        convolve: As in :class:`GroupedMap`.
    """

    def __init__(self, model: PointClassifier, convolve: bool = False) -> None:
        super().__init__()
        self.model = replaced(model, convolve)
        self.operators = model._needs_operators

    def forward(self, pos: Tensor) -> Tensor:
        model = self.model
        dealt = model._deal(pos, None)
        clouds = pos if dealt is None else dealt.pos
        x = model.forward_features(clouds, operators=self.graph(clouds))  # type: ignore[arg-type]
        logits = model.forward_head(x)
        return logits if dealt is None else dealt.mean(logits)

    def graph(self, pos: Tensor) -> RegularGraph | Scales:
        """The graph of the points, or a near and a far one."""
        k, dilation = self.model.k, self.model.dilation
        found = nearest(pos, k * dilation)
        if dilation == 1:
            return self._prepared(pos, found)
        near, far = found[:, :, :k], found[:, :, dilation - 1 :: dilation]
        return Scales(*(self._prepared(pos, part) for part in (near, far)))  # type: ignore[arg-type]

    def _prepared(self, pos: Tensor, found: Tensor) -> RegularGraph:
        clouds, size, k = found.shape
        # not by a product with the size, of which quantisers make one of floating-point numbers
        first = torch.arange(clouds * size, device=pos.device).view(clouds, size, 1)[:, :1]
        index = (found + first).reshape(-1, k)
        if not self.operators:
            return RegularGraph(index.flatten(), k, None)
        points = pos.reshape(-1, 3)
        offset = points.index_select(0, index.flatten()).view(-1, k, 3) - points.unsqueeze(1)
        fits = {"average": average_weights, "least_squares": least_squares_weights}
        edges = fits[self.model.fit](offset).transpose(1, 2)
        rows = torch.cat([edges, -edges.sum(dim=2, keepdim=True)], dim=2)
        # the features themselves: 0 for the neighbours, 1 for the node
        identity = torch.cat([edges[:, :1] * 0.0, torch.ones_like(edges[:, :1, :1])], dim=2)
        own = torch.arange(points.size(0), device=pos.device).unsqueeze(1)
        index = torch.cat([index, own], dim=1)
        return RegularGraph(index.flatten(), k + 1, torch.cat([identity, rows], dim=1))


class RegularPointSegmenter(RegularPointClassifier):
    """A :class:`~mgic_geo.models.PointSegmenter` of plain operators, ``[B, n, 3]`` to
    ``[B, n, C]``."""

    def forward(self, pos: Tensor) -> Tensor:
        model = cast(PointSegmenter, self.model)
        return model.forward_head(model.forward_features(pos, operators=self.graph(pos)))  # type: ignore[arg-type]


def replaced(model: Model, convolve: bool = False) -> Model:
    """A copy for inference whose layers on nodes are plain operators.

    Args:
        model: A network.
        convolve: As in :class:`GroupedMap`.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    _replace(model, convolve)
    return model


def _replace(module: nn.Module, convolve: bool) -> None:
    """Exchanges the layers of this package in ``module`` for plain operators."""
    for name, child in module.named_children():
        if isinstance(child, GraphBlock):
            setattr(module, name, _graph_block(child, convolve))
        elif isinstance(child, DenseBlock):
            setattr(module, name, _Dense(child, convolve))
        elif isinstance(child, GroupedPointwise) and child.channel_axis == -1:
            setattr(module, name, GroupedMap.of(child, convolve=convolve))
        elif isinstance(child, MGIC):
            _replace_transfers(child, convolve)
            _replace(child, convolve)
        else:
            _replace(child, convolve)


def _replace_transfers(layer: MGIC, convolve: bool) -> None:
    for j, norm in enumerate(layer.norms):
        if isinstance(norm, BatchNorm | nn.Identity):
            up = cast(Prolongation, layer.prolongations[j])
            layer.prolongations[j] = GroupedMap.of(up, norm, convolve)
            layer.norms[j] = nn.Identity()


def _graph_block(block: GraphBlock, convolve: bool) -> nn.Module:
    if isinstance(block.norm, BatchNorm):
        if type(block.conv) is DiffGCNConv:
            return _DiffGCN(block.conv, block.norm, block.residual, convolve)
        if (layer := _max_map(block.conv)) is not None:
            return _EdgeMax(layer, block.norm, block.residual, convolve)
    return block


def _max_map(conv: nn.Module) -> LinearMap | None:
    """The linear map of an edge convolution with the maximum, None of any other."""
    if type(conv) is LinearEdgeConv:
        return linear_map(conv.nn)
    if hasattr(conv, "propagate"):  # a MessagePassing, or else PyG need not be imported
        from mgic_geo.nn import EdgeConv

        if type(conv) is EdgeConv and conv.aggr == "max":
            return linear_map(conv.nn)
    return None


class _Dense(nn.Module):
    """A :class:`~mgic_geo.nn.DenseBlock` with its norm folded in."""

    def __init__(self, block: DenseBlock, convolve: bool) -> None:
        super().__init__()
        folds = isinstance(block.norm, BatchNorm | nn.Identity)
        self.map = GroupedMap.of(block.pointwise, block.norm if folds else None, convolve)
        self.norm = nn.Identity() if folds else block.norm
        self.act = block.act
        self.residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        y = cast(Tensor, self.act(self.norm(self.map(x))))
        return y + x if self.residual else y


class _DiffGCN(nn.Module):
    """Derivatives as one product of a node's weights and its neighbours, then their mixing."""

    @torch.no_grad()
    def __init__(self, conv: DiffGCNConv, norm: BatchNorm, residual: bool, convolve: bool) -> None:
        super().__init__()
        scale, bias = norm.scale_and_shift(conv.bias)
        mix = conv.mix() * scale.view(conv.groups, 1, 1, -1)  # [groups, 7, size, out]
        self.map = GroupedMap(mix.permute(0, 3, 1, 2), bias, convolve)
        self.residual = residual

    def forward(self, x: Tensor, graph: RegularGraph) -> Tensor:
        assert graph.weight is not None
        terms = torch.bmm(graph.weight, graph.gather(x))
        y = self.map(terms).relu()
        return y + x if self.residual else y


class _EdgeMax(nn.Module):
    """A linear EdgeConv with maximum: ``scale * (max_j W_2 x_j + (W_1 - W_2) x_i) + shift``."""

    @torch.no_grad()
    def __init__(self, layer: LinearMap, norm: BatchNorm, residual: bool, convolve: bool) -> None:
        super().__init__()
        weight = layer.weight if layer.weight.dim() == 3 else layer.weight.unsqueeze(0)
        own, difference = weight.chunk(2, dim=-1)
        scale, shift = norm.scale_and_shift(layer.bias)
        grouped = scale.view(weight.size(0), -1, 1)
        # The norm's scale may be negative: its sign stays outside of the maximum.
        self.register_buffer("sign", torch.where(scale < 0.0, -1.0, 1.0))
        self.neighbor = GroupedMap((difference * grouped.abs()).unsqueeze(2), None, convolve)
        self.own = GroupedMap(((own - difference) * grouped).unsqueeze(2), shift, convolve)
        self.residual = residual

    def forward(self, x: Tensor, graph: RegularGraph) -> Tensor:
        best = graph.gather(self.neighbor(x)).amax(dim=1)
        y = (best * cast(Tensor, self.sign) + self.own(x)).relu()
        return y + x if self.residual else y
