"""What a training step of a block spends its time on: the kernels of the V-cycle one by one."""

from __future__ import annotations

import importlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch

from mgic_geo.graph import differential_operators, knn_graph
from mgic_geo.hierarchy import ChannelHierarchy

from ._bench import Bench
from ._peers import make_clouds, relaxation
from ._timing import Timing, interleave
from .roofline import PRODUCT, machine_peers
from .width import SIZES, TERMS, K, make_block, training_run

CASE = "training step"
CYCLE = "mgic_geo.kernels.diff_cycle.cpu"
KERNELS = (
    "diff_conv_forward",
    "diff_conv_backward",
    "norm_act_forward",
    "norm_act_again",
    "norm_act_backward",
    "correction_forward",
    "correction_backward",
    "_restrict",
    "_restrict_backward",
)
WHOLE = "whole step"
FLOOR = "diff_conv as fast as a large product, nothing else"


def run(bench: Bench) -> None:
    nodes, steps = (128, 2) if bench.quick else (4096, 20)
    pos = make_clouds(1, nodes)[0]
    graph = differential_operators(pos, knn_graph(pos, K))
    for width in (32,) if bench.quick else (64, 512):
        for name, sizes in SIZES.items():
            if sizes is None or width <= sizes[1]:
                continue
            fields = {"family": "parts", "case": CASE, "width": width, "nodes": nodes}
            fields |= {"group_size": sizes[0], "coarsest": sizes[1]}
            with bench.guarded(**fields, peer=name):
                block = make_block(name, width, relaxation).train()
                step = training_run(block, torch.randn(nodes, width), graph)
                timings = _measure(step, steps)
                whole = timings[WHOLE]
                for part, timing in timings.items():
                    share = 100 * timing.median / whole.median
                    note = "" if part == WHOLE else f"{share:.0f} % of the step"
                    _record(bench, timing, peer=f"{name}, {part}", note=note, **fields)
                # A product of as many multiply-accumulates.
                product = _product(bench.quick)
                macs = diff_conv_macs(ChannelHierarchy(width, *sizes), nodes)
                floor = Timing(tuple(macs * seconds for seconds in product))
                _record(bench, floor, peer=f"{name}, {FLOOR}", **fields)


def _record(bench: Bench, timing: Timing, **fields: Any) -> None:
    first, third = timing.quartiles
    times = {"seconds": timing.median, "q1": first, "q3": third, "repeats": len(timing.times)}
    bench.record(**fields, **times)


def diff_conv_macs(hierarchy: ChannelHierarchy, nodes: int) -> int:
    """Multiply-accumulates of all grids' convolutions, forward and backward.

    Forward derives and mixes; backward derives once more on the transposed graph, mixes, and sums
    up the products for the weights.
    """
    derived = sum(level.width * K * (TERMS - 1) for level in hierarchy.levels)
    mixed = sum(level.width * TERMS * level.width // level.groups for level in hierarchy.levels)
    return nodes * (2 * derived + 3 * mixed)


def _measure(step: Callable[[], object], steps: int) -> dict[str, Timing]:
    """A step, and each kernel in it: all calls of a step together."""
    found: dict[str, list[float]] = defaultdict(list)
    spent: dict[str, float] = {}
    with _clocks(spent):
        for _ in range(2):
            step()
        for _ in range(steps):
            spent.clear()
            start = time.perf_counter()
            step()
            found[WHOLE].append(time.perf_counter() - start)
            for name, seconds in spent.items():
                found[name].append(seconds)
    return {name: Timing(tuple(times)) for name, times in found.items()}


@contextmanager
def _clocks(spent: dict[str, float]) -> Iterator[None]:
    """Adds the seconds of each kernel of the cycle to ``spent``."""
    cycle = importlib.import_module(CYCLE)

    def timed(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            done = kernel(*args, **options)
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
            return done

        return call

    with ExitStack() as stack:
        for name in KERNELS:
            kernel = timed(name.lstrip("_"), getattr(cycle, name))
            stack.enter_context(patch.object(cycle, name, kernel))
        yield


def _product(quick: bool) -> list[float]:
    """Seconds a multiply-accumulate of a large product."""
    peer = next(peer for peer in machine_peers(quick, "cpu") if peer.name == PRODUCT)
    timing = interleave({PRODUCT: peer.build()}, (3, 10), 0.5)[PRODUCT]
    if isinstance(timing, Exception):
        raise timing
    assert peer.macs is not None
    return [seconds / peer.macs for seconds in timing.times]
