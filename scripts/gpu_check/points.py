"""Training steps of the point models on a batch of clouds: seconds and peak memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from mgic_geo.kernels import plain_torch
from scripts.benchmarks._peers import make_clouds
from scripts.benchmarks._timing import Run
from scripts.benchmarks.classifier import MODELS, OURS, PYG, make_model, training_step

from ._check import SEED, Check

Step = Callable[[nn.Module], Run]


def run(check: Check) -> None:
    clouds, points, width = (2, 64, 16) if check.quick else (16, 1024, 64)
    pos = make_clouds(clouds, points, check.device, SEED)
    label = torch.arange(clouds, device=check.device) % 10
    shape: dict[str, Any] = {"width": width, "nodes": clouds * points}

    def model(name: str) -> nn.Module:
        return make_model(name, width, SEED).to(check.device)

    for prepared, suffix in ((True, ""), (False, ", with graph")):
        step = partial(training_step, pos=pos, label=label, prepared=prepared)
        peers = [check.peer(name, _plain(partial(model, name), step)) for name in MODELS]
        if prepared:
            for name in OURS:
                build = _in_plain_torch(partial(model, name), step)
                peers.append(check.peer(f"{name}, plain torch", build))
                build = _in_bfloat16(partial(model, name), step, check.device)
                peers.append(check.peer(f"{name}, bfloat16 autocast", build))
        check.compare("points", f"training step{suffix}", peers, PYG, 15.0, **shape)

    torch.compiler.reset()  # what was compiled for other models counts against its limit
    step = partial(training_step, pos=pos, label=label, prepared=True)
    names = ("mgic_diffgcn", "dgcnn")
    peers = [check.peer(name, _plain(partial(model, name), step)) for name in names]
    for name in names:

        def compiled(name: str = name) -> Run:
            return step(check.compiled(model(name)))

        peers.append(check.peer(f"{name}, compiled", compiled))
    check.compare("points", "training step, compiled", peers, names[0], 6.0, **shape)


def _plain(model: Callable[[], nn.Module], step: Step) -> Callable[[], Run]:
    return lambda: step(model())


def _in_plain_torch(model: Callable[[], nn.Module], step: Step) -> Callable[[], Run]:
    """Without the package's kernels."""

    def build() -> Run:
        run = step(model())

        def plain() -> None:
            with plain_torch():
                run()

        return plain

    return build


def _in_bfloat16(model: Callable[[], nn.Module], step: Step, device: str) -> Callable[[], Run]:
    """Where torch takes half the bits: in matrix products outside of the package's operators."""

    def build() -> Run:
        run = step(model())

        def mixed() -> None:
            with torch.autocast(device, torch.bfloat16):
                run()

        return mixed

    return build
