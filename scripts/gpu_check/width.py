"""Time and memory against width: our blocks, plain torch, ``torch.compile`` and PyG's EdgeConv."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from mgic_geo.graph import Neighborhoods, differential_operators, knn_graph
from mgic_geo.nn import GraphBlock, LinearEdgeConv
from scripts.benchmarks._bench import Peer
from scripts.benchmarks._peers import (
    PygBlock,
    make_clouds,
    materialised_relaxation,
    relaxation,
    table_operators,
)
from scripts.benchmarks._timing import Run
from scripts.benchmarks.width import SIZES, K, inference_run, make_block, training_run

from ._check import SEED, Check

# The ends first, so that a run that is cut short has the range.
WIDTHS = (64, 1024, 256, 512, 128)
COMPILED = ("dense, materialised", "MGIC (8, 16)", "MGIC (8, 16), materialised")
EDGES, PYG = "EdgeConv", "PyG EdgeConv(MLP)"


def run(check: Check) -> None:
    nodes = 128 if check.quick else 16384
    pos = make_clouds(1, nodes, seed=SEED, device=check.device)[0]
    edge_index = knn_graph(pos, K)
    graphs = {
        "": differential_operators(pos, edge_index),
        "materialised": table_operators(pos, edge_index, K),
        EDGES: Neighborhoods.from_edge_index(edge_index, nodes),
        PYG: edge_index,
    }
    for case, train in (("block, forward + backward", True), ("block, forward", False)):
        for width in (16, 32) if check.quick else WIDTHS:
            torch.compiler.reset()  # what was compiled for other widths counts against its limit
            peers = _peers(check, width, nodes, train, graphs)
            check.compare("width", case, peers, "dense", 5.0, nodes=nodes, width=width)
        check.exponents("width", case, "width")


def _peers(check: Check, width: int, nodes: int, train: bool, graphs: dict[str, Any]) -> list[Peer]:
    blocks: dict[str, tuple[Callable[[], nn.Module], Any]] = {}
    for size in SIZES:
        for suffix, builder, graph in (
            ("", relaxation, graphs[""]),
            (", materialised", materialised_relaxation, graphs["materialised"]),
        ):
            blocks[f"{size}{suffix}"] = partial(make_block, size, width, builder), graph
        blocks[f"{size}, {EDGES}"] = partial(make_block, size, width, _edge_block), graphs[EDGES]
    blocks[PYG] = partial(PygBlock, width, width, "edges", True), graphs[PYG]

    def build(name: str, compiled: bool) -> Run:
        torch.manual_seed(SEED)
        make, graph = blocks[name]
        block = make().to(check.device).train(train)
        x = torch.randn(nodes, width, device=check.device)
        if compiled:
            block = check.compiled(block)
        return training_run(block, x, graph) if train else inference_run(block, x, graph)

    peers = [check.peer(name, partial(build, name, False), **_sizes(name)) for name in blocks]
    compiled = [
        check.peer(f"{name}, compiled", partial(build, name, True), **_sizes(name))
        for name in COMPILED
    ]
    return peers + compiled


def _edge_block(channels: int, groups: int) -> nn.Module:
    conv = LinearEdgeConv(channels, channels, groups, bias=False)
    return GraphBlock(conv, channels, residual=True)


def _sizes(name: str) -> dict[str, int]:
    """Columns of the hierarchy that a name begins with."""
    found = next((sizes for size, sizes in SIZES.items() if name.startswith(size)), None)
    return {} if found is None else {"group_size": found[0], "coarsest": found[1]}
