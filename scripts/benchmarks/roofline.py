"""Achieved rates of the operators against those of a large product and a large copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mgic_geo.graph import Neighborhoods, differential_operators, knn_graph
from mgic_geo.nn import DiffGCNConv, GroupedPointwise, LinearEdgeConv

from ._bench import Bench, Peer
from ._peers import make_clouds
from ._timing import Run
from .width import inference_run, training_run

K = 10
PRODUCT, COPY = "matrix product", "copy"
FLOAT, INT = 4, 4


def run(bench: Bench) -> None:
    clouds, points = (2, 64) if bench.quick else (16, 1024)
    nodes = clouds * points
    pos = make_clouds(clouds, points, bench.device)
    edges = Neighborhoods.from_edge_index(knn_graph(pos, K), nodes)
    operators = differential_operators(pos.flatten(0, 1), edges)
    # (width, group size)
    sizes = (
        ((16, 16), (16, 8)) if bench.quick else ((64, 64), (64, 8), (64, 16), (512, 8), (512, 16))
    )
    for width, size in sizes:
        for case, train in (("forward", False), ("forward + backward", True)):
            peers = [
                *machine_peers(bench.quick, bench.device),
                _diffgcn(nodes, width, size, operators, train),
                _edgeconv(nodes, width, size, edges, train),
                _pointwise(nodes, width, size, train, bench.device),
            ]
            shape: dict[str, Any] = {"width": width, "nodes": nodes, "group_size": size}
            bench.compare("roofline", case, peers, seconds=4.0, **shape)


def machine_peers(quick: bool, device: str) -> list[Peer]:
    """What this machine reaches, measured in the same turns."""
    side, length = (64, 2**12) if quick else (1536, 2**25)
    plain = {"width": "", "nodes": "", "group_size": ""}

    def product() -> Run:
        a, b = torch.randn(side, side, device=device), torch.randn(side, side, device=device)
        out = torch.empty_like(a)
        return lambda: torch.mm(a, b, out=out)

    def copy() -> Run:
        a = torch.zeros(length, device=device)
        b = torch.zeros_like(a)
        return lambda: b.copy_(a)

    return [
        Peer(PRODUCT, product, {**plain, "note": f"{side} x {side}"}, macs=side**3),
        Peer(COPY, copy, {**plain, "note": "read + written"}, traffic=2 * FLOAT * length),
    ]


def _peer(
    name: str,
    make: Callable[[], nn.Module],
    graph: Any,
    nodes: int,
    width: int,
    train: bool,
    macs: float,
    traffic: float,
    device: str,
) -> Peer:
    """``traffic`` counts every input and output once; training does all of it three times."""

    def build() -> Run:
        torch.manual_seed(0)
        layer = make().to(device)
        x = torch.randn(nodes, width, device=device)
        return training_run(layer, x, graph) if train else inference_run(layer, x, graph)

    times = 3 if train else 1
    return Peer(name, build, {}, macs=times * macs, traffic=times * traffic)


def _diffgcn(nodes: int, width: int, size: int, operators: Any, train: bool) -> Peer:
    entries = nodes * (K + 1)
    return _peer(
        "DiffGCNConv",
        lambda: DiffGCNConv(width, width, width // size, bias=False),
        operators,
        nodes,
        width,
        train,
        macs=nodes * 7 * width * size + 6 * entries * width,
        traffic=FLOAT * (2 * nodes * width + 7 * width * size) + entries * (6 * FLOAT + INT),
        device=operators.weight.device.type,
    )


def _edgeconv(nodes: int, width: int, size: int, edges: Neighborhoods, train: bool) -> Peer:
    return _peer(
        "EdgeConv",
        lambda: LinearEdgeConv(width, width, width // size, bias=False),
        edges,
        nodes,
        width,
        train,
        macs=nodes * 2 * width * size,
        traffic=FLOAT * (2 * nodes * width + 2 * width * size) + INT * nodes * K,
        device=edges.col.device.type,
    )


class _Graphless(nn.Module):
    """Lets a layer of nodes be called like one of graphs."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, graph: None) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        return out


def _pointwise(nodes: int, width: int, size: int, train: bool, device: str) -> Peer:
    return _peer(
        "GroupedPointwise",
        lambda: _Graphless(GroupedPointwise(width, width, width // size, bias=False)),
        None,
        nodes,
        width,
        train,
        macs=nodes * width * size,
        traffic=FLOAT * (2 * nodes * width + width * size),
        device=device,
    )
