"""What the package is measured against, and the inputs of all."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch_geometric.nn as gnn
from torch import Tensor, nn

from mgic_geo.graph import knn_graph
from mgic_geo.nn import MGIC, DiffGCNConv, GraphBlock
from mgic_geo.transforms import normalize_sphere


def make_clouds(clouds: int, points: int, device: str = "cpu", seed: int = 0) -> Tensor:
    """Points on the surfaces of random boxes, in the unit sphere, ``[B, n, 3]``."""
    generator = torch.Generator().manual_seed(seed)
    pos = 2 * torch.rand(clouds, points, 3, generator=generator) - 1
    axis = torch.randint(3, (clouds, points, 1), generator=generator)
    pos.scatter_(2, axis, pos.gather(2, axis).sign())
    pos = pos * (0.2 + 0.8 * torch.rand(clouds, 1, 3, generator=generator))
    return normalize_sphere(pos).to(device)


def randomise_norms(model: nn.Module, seed: int = 0) -> nn.Module:
    """Norms as after training: at first they are the identity, or 0, and fold into nothing."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(like.shape, generator=generator)).to(like)

    with torch.no_grad():
        for norm in model.modules():
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                assert norm.running_mean is not None
                assert norm.running_var is not None
                norm.weight.copy_(uniform(norm.weight, 0.5, 1.0))
                norm.bias.copy_(uniform(norm.bias, -0.2, 0.2))
                norm.running_mean.copy_(uniform(norm.running_mean, -0.2, 0.2))
                norm.running_var.copy_(uniform(norm.running_var, 0.5, 2.0))
    return model


def relaxation(channels: int, groups: int) -> nn.Module:
    """The relaxation of the classifier."""
    conv = DiffGCNConv(channels, channels, groups, bias=False)
    return GraphBlock(conv, channels, residual=True)


def operator(channels: int, groups: int) -> nn.Module:
    return DiffGCNConv(channels, channels, groups)


class TableOperators(NamedTuple):
    """Neighbours ``[N, k + 1]``, the node itself last, and their weights ``[N, 6, k + 1]``."""

    neighbors: Tensor
    weight: Tensor


def table_operators(pos: Tensor, edge_index: Tensor, k: int) -> TableOperators:
    """The operators of :class:`mgic_geo.graph.DifferentialOperators`, from their formula."""
    neighbors = edge_index[0].view(-1, k)
    offset = pos[neighbors] - pos.unsqueeze(1)
    direction = offset / offset.norm(dim=-1, keepdim=True).clamp_min(1e-15)
    weight = torch.cat([direction, direction.square()], dim=-1).transpose(1, 2) / k
    own = torch.arange(pos.size(0), device=pos.device).unsqueeze(1)
    weight = torch.cat([weight, -weight.sum(dim=-1, keepdim=True)], dim=-1)
    return TableOperators(torch.cat([neighbors, own], dim=1), weight)


class MaterialisedConv(nn.Module):
    """DiffGCNConv in plain torch: writes neighbours and the 7 C features of a node to memory."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        size = channels // groups
        self.groups = groups
        self.weight = nn.Parameter(torch.randn(groups, 7, size, size) / (7 * size) ** 0.5)

    def forward(self, x: Tensor, graph: TableOperators) -> Tensor:
        table = x.index_select(0, graph.neighbors.flatten()).view(*graph.neighbors.shape, -1)
        f = torch.cat([x.unsqueeze(1), torch.bmm(graph.weight, table)], dim=1)
        f = f.unflatten(-1, (self.groups, -1))
        return torch.einsum("ntgc,gtco->ngo", f, self.weight).flatten(1)


def materialised_relaxation(channels: int, groups: int) -> nn.Module:
    return GraphBlock(MaterialisedConv(channels, groups), channels, residual=True)


def hierarchy(block: nn.Module) -> tuple[int, ...]:
    """The widths of its grids."""
    assert isinstance(block, MGIC)
    return block.hierarchy.widths


class EdgeGraph(NamedTuple):
    edge_index: Tensor
    batch: Tensor


class PygBlock(nn.Module):
    """PyG's EdgeConv; ``norm_on="edges"`` has norm and ReLU inside h, ``"nodes"`` after the max."""

    def __init__(self, in_channels: int, channels: int, norm_on: str, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.norm: nn.Module = nn.Identity()
        self.act: nn.Module = nn.Identity()
        if norm_on == "edges":
            h = gnn.MLP(
                [2 * in_channels, channels],
                act="relu",
                norm="batch_norm",
                plain_last=False,
                bias=False,
            )
            self.conv = gnn.EdgeConv(h)
        else:
            self.conv = gnn.EdgeConv(nn.Linear(2 * in_channels, channels, bias=False), aggr="max")
            self.norm, self.act = nn.BatchNorm1d(channels), nn.ReLU(inplace=True)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        y = self.act(self.norm(self.conv(x, edge_index)))
        return x + y if self.residual else y


class PygClassifier(nn.Module):
    """Table 10's classifier out of PyG's modules, called as the package's own.

    Args:
        width: Channels.
        k: Neighbours.
        num_classes: Classes.
        norm_on: As in :class:`PygBlock`; with ``"nodes"`` it computes what our ``dgcnn`` does.
    """

    def __init__(
        self, width: int = 64, k: int = 10, num_classes: int = 10, norm_on: str = "edges"
    ) -> None:
        super().__init__()
        self.k = k

        def mlp(depth: int) -> nn.Module:
            return gnn.MLP([width] * (depth + 1), plain_last=False, bias=False)

        def stage(depth: int) -> nn.ModuleList:
            return nn.ModuleList(PygBlock(width, width, norm_on, True) for _ in range(depth))

        self.stem = PygBlock(3, width, norm_on, False)
        self.stage1, self.mix1 = stage(2), mlp(1)
        self.stage2, self.mix2 = stage(3), mlp(1)
        self.head, self.fc = mlp(3), nn.Linear(width, num_classes)

    def prepare(self, pos: Tensor) -> EdgeGraph:
        """The graph; by our search, so that the layers alone make the difference."""
        batch = torch.arange(pos.size(0), device=pos.device).repeat_interleave(pos.size(1))
        return EdgeGraph(knn_graph(pos, self.k, num_workers=None), batch)

    def forward(self, pos: Tensor, operators: EdgeGraph | None = None) -> Tensor:
        graph = self.prepare(pos) if operators is None else operators
        x = self.stem(pos.flatten(0, 1), graph.edge_index)
        for block in self.stage1:
            x = block(x, graph.edge_index)
        x = self.mix1(x)
        for block in self.stage2:
            x = block(x, graph.edge_index)
        x = self.mix2(x)
        out: Tensor = self.fc(self.head(gnn.global_max_pool(x, graph.batch)))
        return out


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copies what two models with the same layers in the same order have learned.

    Raises:
        ValueError: They do not have the same layers.
    """

    def kind(model: nn.Module, scalars: bool) -> list[Tensor]:
        """Matrices first, then what norms and biases hold: both orders are that of the layers."""
        tensors = [*model.parameters(), *model.buffers()]
        return [t for t in tensors if (t.dim() <= 1) == scalars]

    for scalars in (False, True):
        pair = kind(source, scalars), kind(target, scalars)
        if [t.numel() for t in pair[0]] != [t.numel() for t in pair[1]]:
            raise ValueError("the models have different layers")
        for a, b in zip(*pair):
            b.copy_(a.reshape(b.shape))
