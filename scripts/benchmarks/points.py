"""Time against the number of points: the graph and one inference, at one width."""

from __future__ import annotations

from functools import partial

import torch

from mgic_geo.graph import knn_graph

from ._bench import Bench, Peer
from ._peers import make_clouds
from ._timing import Run
from .classifier import MODELS, make_model


def run(bench: Bench) -> None:
    sizes = (64, 128) if bench.quick else (256, 1024, 4096, 16384, 65536)
    width = 16 if bench.quick else 64
    for nodes in sizes:
        pos = make_clouds(1, nodes, bench.device)
        search = Peer("knn_graph", partial(partial, knn_graph, pos, 10, num_workers=None))
        bench.compare("points", "graph", [search], seconds=3.0, width=width, nodes=nodes)
        peers = [_peer(name, width, pos) for name in MODELS]
        bench.compare(
            "points",
            "graph + inference",
            peers,
            "PyG EdgeConv(MLP)",
            rounds=(3, 20) if nodes > 10_000 else None,
            seconds=6.0,
            width=width,
            nodes=nodes,
        )
    for case in ("graph", "graph + inference"):
        bench.exponents("points", case, "nodes")


def _peer(name: str, width: int, pos: torch.Tensor) -> Peer:
    def build() -> Run:
        model = make_model(name, width).to(pos.device).eval()

        def forward() -> None:
            with torch.no_grad():
                model(pos)

        return forward

    return Peer(name, build)
