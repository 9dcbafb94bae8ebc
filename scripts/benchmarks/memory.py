"""Peak memory of a block, dense and in the hierarchy, each in a process of its own."""

from __future__ import annotations

import os
from typing import Any

from mgic_geo.hierarchy import ChannelHierarchy

from ._bench import Bench
from ._run_child import run_child
from .width import SIZES

# A relaxation of the finest grid alone: what section 3.4 compares inference with.
ONE_BLOCK = {"MGIC (16, 64)": "one block (16)", "MGIC (8, 16)": "one block (8)"}
# Whatever is freed goes back to the system at once, so that what is resident is what is used.
RETURNED = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=65536"}
HOW = "peak resident memory less that before the step; input and operators not counted"


def run(bench: Bench) -> None:
    nodes = 2048 if bench.quick else 16384
    widths = (64,) if bench.quick else (64, 512)
    for case in ("training step",) if bench.quick else ("training step", "inference"):
        for width in widths:
            for peer in ("MGIC (8, 16)",) if bench.quick else _peers(width, case):
                fields = _fields(peer, width, nodes, case)
                with bench.guarded(**fields):
                    task = {"task": "memory", "peer": peer, "width": width, "nodes": nodes}
                    result = run_child(
                        {**task, "train": case != "inference"}, {**os.environ, **RETURNED}
                    )
                    bench.record(**fields, peak_mib=result["peak_mib"])


def _peers(width: int, case: str) -> list[str]:
    mgic = [name for name, sizes in SIZES.items() if sizes is not None and width > sizes[1]]
    single = [ONE_BLOCK[name] for name in mgic] if case == "inference" else []
    return ["dense", *single, *mgic]


def _fields(peer: str, width: int, nodes: int, case: str) -> dict[str, Any]:
    fields = {"family": "memory", "case": case, "peer": peer, "width": width, "nodes": nodes}
    sizes = SIZES.get(peer)
    if sizes is None:
        return {**fields, "note": HOW}
    fields.update(group_size=sizes[0], coarsest=sizes[1])
    # The inputs of the coarser grids, which are there until the way up has passed them.
    inputs = sum(ChannelHierarchy(width, *sizes).widths[1:]) * nodes * 4 / 2**20
    return {**fields, "note": f"{HOW}; inputs of the coarser grids: {inputs:.1f} MiB"}
