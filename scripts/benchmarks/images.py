"""Image networks against their dense twins: one image at inference, a batch in training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from mgic_geo import fuse
from mgic_geo.models import create_model
from mgic_geo.profiling import profile_model_by_name
from mgic_geo.testing import randomize_norms

from ._bench import Bench, Peer
from ._run_child import run_child
from ._timing import Run
from .memory import HOW, RETURNED

LAST, FIRST = "channels_last", "contiguous"
FORMS = {LAST: torch.channels_last, FIRST: torch.contiguous_format}
# The dense twin first: what the others are compared with.
INFERENCE: tuple[tuple[str, ...], ...] = (
    ("resnet50", "mgic_resnet50"),
    ("mobilenetv3_large", "mgic_mobilenetv3", "mgic_mobilenetv3_large"),
)
TRAINING = ("resnet56", "mgic_resnet56", "ghost_resnet56", "resnet20")
BATCH = 128


def run(bench: Bench) -> None:
    for names in (("mobilenetv3_small",),) if bench.quick else INFERENCE:
        for kind in ("inference, fused", "inference"):
            _compare(bench, kind, names, 64 if bench.quick else 224, 1)
    side, batch = (32, 4) if bench.quick else (32, BATCH)
    _compare(bench, "training step", ("resnet20",) if bench.quick else TRAINING, side, batch, 60.0)
    for names in () if bench.quick else (*INFERENCE, TRAINING[:3]):
        training = names[0] in TRAINING
        _memory(bench, names, 32 if training else 224, BATCH if training else 1, training)


def make_run(name: str, form: str, side: int, batch: int, case: str, device: str = "cpu") -> Run:
    """What is timed: a model of the registry on random images in a memory format."""
    torch.manual_seed(0)
    training = case == "training step"
    model: Any = randomize_norms(create_model(name)).to(device)
    x = torch.randn(batch, 3, side, side, device=device).contiguous(memory_format=FORMS[form])
    if training:
        model = model.to(memory_format=FORMS[form]).train()
        label = torch.arange(batch, device=device) % 10

        def step() -> None:
            model.zero_grad(set_to_none=True)
            F.cross_entropy(model(x), label).backward()

        return step
    model = fuse(model) if case.endswith("fused") else model.eval()
    model = model.to(memory_format=FORMS[form])

    def forward() -> None:
        with torch.no_grad():
            model(x)

    return forward


def _compare(
    bench: Bench, case: str, names: Sequence[str], side: int, batch: int, seconds: float = 15.0
) -> None:
    """Every model in both memory formats; the reference is the dense twin in its better one."""
    times = 3 if case == "training step" else 1
    peers = []
    for name in names:
        macs = times * batch * sum(c.macs for c in profile_model_by_name(name, image_size=side))
        for form in FORMS:

            def build(name: str = name, form: str = form) -> Run:
                return make_run(name, form, side, batch, case, bench.device)

            peers.append(Peer(f"{name}, {form}", build, macs=macs))
    twin = [f"{names[0]}, {form}" for form in FORMS]
    bench.compare("images", case, peers, twin, seconds, nodes=batch * side * side)


def _memory(bench: Bench, names: Sequence[str], side: int, batch: int, training: bool) -> None:
    case = "training step" if training else "inference, fused"
    for name in names:
        fields: dict[str, Any] = {
            "family": "images",
            "case": f"{case}, memory",
            "peer": f"{name}, {LAST}",
            "nodes": batch * side * side,
            "note": HOW.replace(" and operators", ""),
        }
        with bench.guarded(**fields):
            task = {"task": "image_memory", "name": name, "side": side, "batch": batch}
            result = run_child({**task, "case": case}, {**os.environ, **RETURNED})
            bench.record(**fields, peak_mib=result["peak_mib"])
