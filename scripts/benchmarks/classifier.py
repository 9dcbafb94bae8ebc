"""Table 10's classifier on a batch of clouds: training steps and inference, against PyG."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW

from mgic_geo.models import create_model
from mgic_geo.training.optim import parameter_groups

from ._bench import Bench, Peer
from ._peers import PygClassifier, copy_weights, make_clouds, randomise_norms
from ._timing import Run

PYG, TWIN = "PyG EdgeConv(MLP)", "PyG dgcnn"
OURS = ("mgic_diffgcn", "diffgcn", "dgcnn", "mgic_edgeconv")
MODELS = (*OURS, PYG, TWIN)


def run(bench: Bench) -> None:
    clouds, points, width = (2, 64, 16) if bench.quick else (16, 1024, 64)
    pos = make_clouds(clouds, points, bench.device)
    label = torch.arange(clouds, device=bench.device) % 10
    shape: dict[str, Any] = {"width": width, "nodes": clouds * points}

    def compare(case: str, run_of: Callable[[nn.Module], Run], seconds: float = 20.0) -> None:
        compared = case in ("training step", "inference")
        peers = [_peer(name, width, pos, run_of, compared) for name in MODELS]
        bench.compare("classifier", case, peers, PYG, seconds, **shape)

    for given, suffix in ((True, ""), (False, ", with graph")):
        train = partial(training_step, pos=pos, label=label, prepared=given)
        compare(f"training step{suffix}", train)
        compare(f"inference{suffix}", partial(_inference, pos=pos, prepared=given))
    compare("graph", lambda model: lambda: _prepare(model, pos), seconds=5.0)
    _fused(bench, pos, width, shape)


def make_model(name: str, width: int, seed: int = 0) -> nn.Module:
    """One of :data:`MODELS`; the same seed gives ``dgcnn`` and PyG's twin the same weights."""
    torch.manual_seed(seed)
    if name == PYG:
        return PygClassifier(width)
    if name == TWIN:
        twin = PygClassifier(width, norm_on="nodes")
        copy_weights(make_model("dgcnn", width, seed), twin)
        return twin
    return randomise_norms(create_model(name, width=width, num_classes=10), seed)


def twin_difference(width: int, pos: Tensor) -> float:
    """The largest difference of logits between ``dgcnn`` and PyG's, training and inferring."""
    ours, twin = (make_model(name, width).to(pos.device) for name in ("dgcnn", TWIN))
    worst = 0.0
    for train in (True, False):
        with torch.no_grad():
            pair = [model.train(train)(pos) for model in (ours, twin)]
        worst = max(worst, float((pair[0] - pair[1]).abs().max()))
    return worst


def _peer(
    name: str, width: int, pos: Tensor, run_of: Callable[[nn.Module], Run], compared: bool
) -> Peer:
    def build() -> Run:
        return run_of(make_model(name, width).to(pos.device))

    if name != TWIN or not compared:
        return Peer(name, build)
    note = {"note": "logits against dgcnn's, same weights"}
    return Peer(name, build, note, difference=lambda: twin_difference(width, pos))


def training_step(model: nn.Module, pos: Tensor, label: Tensor, prepared: bool) -> Run:
    """Forward, backward and a step of AdamW; the graph is built in it unless ``prepared``."""
    optimizer = AdamW(parameter_groups(model.train().parameters(), 0.05), lr=1e-3)
    given = _prepare(model, pos) if prepared else None

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(pos, operators=given), label).backward()
        optimizer.step()

    return step


def _inference(model: nn.Module, pos: Tensor, prepared: bool) -> Run:
    model.eval()
    given = _prepare(model, pos) if prepared else None

    def forward() -> None:
        with torch.no_grad():
            model(pos, operators=given)

    return forward


def _prepare(model: nn.Module, pos: Tensor) -> Any:
    """The graph, and the operators where the model needs them."""
    return model.prepare(pos)  # type: ignore[operator]  # all models here have it


def _fused(bench: Bench, pos: Tensor, width: int, shape: dict[str, Any]) -> None:
    """Inference of our models before and after ``mgic_geo.fuse``."""
    for name in OURS:
        plain = make_model(name, width).to(pos.device).eval()

        def build_plain(model: nn.Module = plain) -> Run:
            return _inference(model, pos, prepared=True)

        fused: list[nn.Module] = []

        def build_fused(model: nn.Module = plain, fused: list[nn.Module] = fused) -> Run:
            fused.append(_fuse()(model))
            return _inference(fused[0], pos, prepared=True)

        def difference(model: nn.Module = plain, fused: list[nn.Module] = fused) -> float:
            graph = _prepare(model, pos)
            with torch.no_grad():
                pair = [net(pos, operators=graph) for net in (model, fused[0])]
            return float((pair[0] - pair[1]).abs().max())

        note = {"note": f"logits against {name}'s"}
        peers = [
            Peer(name, build_plain),
            Peer(f"{name}, fused", build_fused, note, difference=difference),
        ]
        if name == "mgic_diffgcn":
            run_of = partial(_inference, pos=pos, prepared=True)
            peers.append(_peer(PYG, width, pos, run_of, compared=False))
        bench.compare("classifier", "inference, fused", peers, name, 4.0, **shape)


def _fuse() -> Callable[[nn.Module], nn.Module]:
    found = getattr(importlib.import_module("mgic_geo"), "fuse", None)
    if found is None:
        raise NotImplementedError("mgic_geo.fuse is not there")
    fuse: Callable[[nn.Module], nn.Module] = found if callable(found) else found.fuse
    return fuse
