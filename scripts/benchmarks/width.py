"""Time against width: the DiffGCN block and its bare operator, dense and in the hierarchy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from mgic_geo.graph import differential_operators, knn_graph
from mgic_geo.hierarchy import ChannelHierarchy
from mgic_geo.nn import MGIC

from ._bench import Bench, Peer
from ._peers import (
    make_clouds,
    materialised_relaxation,
    operator,
    relaxation,
    table_operators,
)
from ._timing import Run

K = 10
TERMS = 7
SIZES = {"dense": None, "MGIC (16, 64)": (16, 64), "MGIC (8, 16)": (8, 16)}
Builder = Callable[[int, int], nn.Module]


def run(bench: Bench) -> None:
    widths = (16, 32) if bench.quick else (64, 128, 256, 512, 1024)
    nodes = 128 if bench.quick else 4096
    pos = make_clouds(1, nodes, bench.device)[0]
    edge_index = knn_graph(pos, K)
    ours, table = differential_operators(pos, edge_index), table_operators(pos, edge_index, K)
    kinds: dict[str, tuple[tuple[str, Builder, Any], ...]] = {
        "block": (("", relaxation, ours), (", materialised", materialised_relaxation, table)),
        "operator": (("", operator, ours),),
    }
    for what, builders in kinds.items():
        for case, train in (("forward + backward", True), ("forward", False)):
            for width in widths:
                peers = [
                    _peer(name, width, builder, graph, nodes, train, bench.device)
                    for suffix, builder, graph in builders
                    for name in (f"{size}{suffix}" for size in SIZES)
                ]
                bench.compare("width", f"{what}, {case}", peers, "dense", nodes=nodes, width=width)
            bench.exponents("width", f"{what}, {case}", "width")


def make_block(name: str, width: int, builder: Builder) -> nn.Module:
    """The dense block, or MGIC of the group size and coarsest width that the name says."""
    sizes = SIZES[name.partition(", materialised")[0]]
    return builder(width, 1) if sizes is None else MGIC(builder, width, *sizes)


def _peer(
    name: str, width: int, builder: Builder, graph: Any, nodes: int, train: bool, device: str
) -> Peer:
    sizes = SIZES[name.partition(", materialised")[0]]
    levels = ChannelHierarchy(width, *(sizes or (width, width)))
    fields: dict[str, Any] = {}
    if sizes is not None:
        fields = {"group_size": sizes[0], "coarsest": sizes[1]}
        if not levels.num_coarsenings:
            fields["note"] = "no coarsening at this width: it is the dense block"
    macs = levels.macs(TERMS, nodes) + nodes * (TERMS - 1) * (K + 1) * sum(levels.widths)
    # Backward applies the operators and the mixing twice more, for features and for weights.
    built: dict[str, Any] = {}

    def build() -> Run:
        torch.manual_seed(0)
        block = make_block(name, width, builder).to(device).train(train)
        x = torch.randn(nodes, width, device=device)
        built.update(block=block, x=x)
        return training_run(block, x, graph) if train else inference_run(block, x, graph)

    def difference() -> float:
        """From ours, with its weights."""
        torch.manual_seed(0)
        twin = make_block(name.partition(", materialised")[0], width, relaxation).to(device)
        twin.load_state_dict(built["block"].state_dict())
        twin.train(train)
        ours = differential_operators(*_geometry(nodes, device))
        with torch.no_grad():
            pair = twin(built["x"], ours), built["block"](built["x"], graph)
        return float((pair[0] - pair[1]).abs().max())

    if "materialised" in name:
        fields["note"] = "; ".join(filter(None, [fields.get("note"), "difference from ours"]))
    check = difference if "materialised" in name else None
    return Peer(name, build, fields, (3 if train else 1) * macs, difference=check)


def _geometry(nodes: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    pos = make_clouds(1, nodes, device)[0]
    return pos, knn_graph(pos, K)


def training_run(block: nn.Module, x: torch.Tensor, graph: Any) -> Run:
    """Forward and backward, gradients of the features included."""
    x = x.clone().requires_grad_()
    grad = torch.randn_like(x)

    def step() -> None:
        x.grad = None
        block.zero_grad(set_to_none=True)
        block(x, graph).backward(grad)

    return step


def inference_run(block: nn.Module, x: torch.Tensor, graph: Any) -> Run:
    def forward() -> None:
        with torch.no_grad():
            block(x, graph)

    return forward
