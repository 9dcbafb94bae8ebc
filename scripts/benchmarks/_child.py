"""Measurements that need a fresh process: run by :mod:`._run_child`, answered as JSON on a line."""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def memory(peer: str, width: int, nodes: int, train: bool) -> dict[str, float]:
    """Peak of a step over what was resident before it."""
    import torch

    from mgic_geo.graph import differential_operators, knn_graph

    from ._peers import make_clouds, relaxation
    from .memory import ONE_BLOCK
    from .width import SIZES, inference_run, make_block, training_run

    torch.manual_seed(0)
    if peer in SIZES:
        block = make_block(peer, width, relaxation).train(train)
    else:
        size = next(SIZES[mgic] for mgic, name in ONE_BLOCK.items() if name == peer)
        assert size is not None
        block = relaxation(width, width // size[0]).train(train)
    make_run = training_run if train else inference_run

    def prepare(size: int) -> Any:
        pos = make_clouds(1, size)[0]
        operators = differential_operators(pos, knn_graph(pos, 10))
        return make_run(block, torch.randn(size, width), operators)

    warm = prepare(64)  # compiled kernels, threads
    warm()
    block.zero_grad(set_to_none=True)
    del warm
    return {"peak_mib": peak_of(prepare(nodes))}


def image_memory(name: str, side: int, batch: int, case: str) -> dict[str, float]:
    """:func:`memory` of an image network."""
    from .images import LAST, make_run

    make_run(name, LAST, 64, 2, case)()
    return {"peak_mib": peak_of(make_run(name, LAST, side, batch, case))}


def peak_of(step: Callable[[], object]) -> float:
    """MiB that a step needs over what is resident before it."""
    forget_high_water()
    before, high = resident(), high_water()
    step()
    peak = high_water()
    if peak <= high:
        raise RuntimeError("the step stayed below an earlier peak: take more nodes")
    return (peak - before) / 2**20


def resident() -> int:
    """Bytes of this process in memory now; where /proc does not say, the most so far."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return high_water()
    return int(pages) * resource.getpagesize()


def forget_high_water() -> None:
    """Lets the most start at now, where the system can: the graph's building was a peak too."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def high_water() -> int:
    """The most bytes that it ever had.

    From /proc where there is one: ``ru_maxrss`` begins with what the parent process had.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def steps(clouds: int, points: int, width: int, steps: int) -> dict[str, list[float]]:
    """Seconds of training steps of ``mgic_diffgcn``, with its graph."""
    import torch

    from ._peers import make_clouds
    from ._timing import Timing, interleave
    from .classifier import make_model, training_step

    pos = make_clouds(clouds, points)
    label = torch.arange(clouds) % 10
    run = training_step(make_model("mgic_diffgcn", width), pos, label, prepared=False)
    timing = interleave({"step": run}, (steps, steps), 0.0)["step"]
    if not isinstance(timing, Timing):
        raise timing
    return {"times": list(timing.times)}


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    tasks: dict[str, Callable[..., Any]] = {
        "memory": memory,
        "image_memory": image_memory,
        "steps": steps,
    }
    print(json.dumps(tasks[arguments.pop("task")](**arguments)))
