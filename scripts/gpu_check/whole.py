"""Graphs, registered operators and whole models on the device, each against a slower twin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo import kernels
from mgic_geo.graph import DifferentialOperators, differential_operators, knn_graph
from mgic_geo.graph.operators import FITS
from mgic_geo.kernels.dispatch import backend_for
from mgic_geo.models import create_model
from mgic_geo.testing import random_clouds, randomize_norms
from scripts.benchmarks._peers import make_clouds
from scripts.benchmarks.classifier import OURS, make_model

from ._check import SEED, Check
from ._samples import Result, Shape, exact, magnitudes, make_sample

FAMILY = "whole"
K = 10
TYPES = (torch.float32, torch.float16, torch.bfloat16)
IMAGE_MODELS = ("mgic_resnet56", "resnet56")
# Of the largest distance; float32 on both sides.
GRAPH_LIMIT = 1e-5
# Derivatives are rounded to the type of the features where large groups are matrix products.
ROUNDINGS = 16.0
# Of the largest logit, and of the norm of all gradients; a maximum may go to another neighbour.
LOGITS_LIMIT, GRADIENT_LIMIT = 1e-3, 1e-2


def run(check: Check) -> None:
    _graphs(check)
    for shape in _shapes(check.quick):
        for dtype in TYPES:
            _operators(check, shape, dtype)
    for name in OURS:
        _point_model(check, name)
    for name in IMAGE_MODELS[: 1 if check.quick else None]:
        _image_model(check, name)


def _shapes(quick: bool) -> tuple[Shape, ...]:
    if quick:
        return (Shape(60, 2, 8, 8),)
    return Shape(3001, 8, 8, 8), Shape(3001, 1, 64, 64), Shape(3001, 1, 128, 128)


def _graphs(check: Check) -> None:
    """What is built on the device against what the CPU builds of the same points."""
    clouds, points = (2, 64) if check.quick else (8, 1024)
    equal = make_clouds(clouds, points).flatten(0, 1)
    cloud = torch.arange(clouds).repeat_interleave(points)
    ragged = random_clouds(clouds, points, seed=SEED, ragged=True)
    features = torch.randn(len(equal), 64, generator=torch.Generator().manual_seed(SEED))
    device = check.device
    for case, (pos, batch) in (
        ("knn_graph", (equal, cloud)),
        ("knn_graph, unequal clouds", ragged),
        ("knn_graph of features", (features, cloud)),
    ):
        fields: dict[str, Any] = {"family": FAMILY, "case": case, "nodes": len(pos)}
        with check.judged(**fields):
            near = [_reach(pos, knn_graph(p, K, b)) for p, b in _both(device, pos, batch)]
            check.judge(_apart(*near), GRAPH_LIMIT, **fields, note="distances, of the largest")
    fields = {"family": FAMILY, "case": "farthest_points", "nodes": len(ragged[0])}
    with check.judged(**fields):
        picked = [kernels.farthest_points(p, 16, SEED, b).cpu() for p, b in _both(device, *ragged)]
        check.judge(float((picked[0] != picked[1]).sum()), 0.0, **fields, note="other points")
    edges = knn_graph(equal, K, cloud)
    for fit in FITS:
        fields = {"family": FAMILY, "case": f"differential operators, {fit}", "nodes": len(equal)}
        with check.judged(**fields):
            pair = [differential_operators(p, e, fit) for p, e in _both(device, equal, edges)]
            limit = 1e-5 if fit == "average" else 1e-3  # systems of three equations in float32
            check.judge(_operators_apart(*pair), limit, **fields, note="weights, of the largest")


def _both(device: str, a: Tensor, b: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    yield a, b
    yield a.to(device), b.to(device)


def _reach(pos: Tensor, edge_index: Tensor) -> Tensor:
    """How far each neighbour is, ``[N, K]``, the nearest first: the same, whoever wins a tie."""
    source, target = edge_index.cpu()
    return (pos[source] - pos[target]).double().norm(dim=-1).view(-1, K)


def _apart(expected: Tensor, found: Tensor) -> float:
    return float((found.cpu() - expected).abs().max() / expected.abs().max())


def _operators_apart(expected: DifferentialOperators, found: DifferentialOperators) -> float:
    worst = 0.0
    for name, a, b in zip(expected._fields, expected, found):
        if a.dtype != torch.int32:
            worst = max(worst, _apart(a, b))
        elif b.dtype != torch.int32 or not torch.equal(a, b.cpu()):
            raise ValueError(f"{name} differs")
    return worst


def _operators(check: Check, shape: Shape, dtype: torch.dtype) -> None:
    """The registered operators with their autograd, as layers call them."""
    s = make_sample(shape, dtype, check.device)
    weight = s.mix[:, 0].transpose(1, 2).contiguous()
    rowptr, col, weights = s.graph

    def of_map(x: Tensor, w: Tensor) -> Tensor:
        return kernels.grouped_pointwise(x, w)

    def of_graph(x: Tensor, mix: Tensor) -> Tensor:
        return kernels.diff_conv(x, mix, *s.graph, *s.transposed)

    def graph_twin(x: Tensor, mix: Tensor) -> Tensor:
        return kernels.diff_conv_reference(x, mix, *s.graph)

    def positive(x: Tensor, mix: Tensor) -> Tensor:
        return kernels.diff_conv_reference(x, mix, rowptr, col, weights.abs())

    map_twin = kernels.grouped_pointwise_reference
    for name, function, twin, size, second in (
        ("grouped_pointwise", of_map, map_twin, map_twin, weight),
        ("diff_conv", of_graph, graph_twin, positive, s.mix),
    ):
        fields: dict[str, Any] = {
            "family": FAMILY,
            "peer": str(dtype).removeprefix("torch."),
            "width": shape.groups * shape.size,
            "nodes": shape.nodes,
            "group_size": shape.size,
        }
        with check.judged(case=name, **fields):
            if check.device == "cuda" and backend_for(s.x) != "gpu":
                raise RuntimeError("the GPU kernels are not taken")
            a, b = (t.detach().requires_grad_() for t in (s.x, second))
            value = function(a, b)
            found = (value.detach(), *torch.autograd.grad(value, [a, b], s.grad))
            names = ("value", "gradient of x", "gradient of weights")
            inputs = (s.x, second, s.grad)
            expected, sums = exact(twin, *inputs), magnitudes(size, *inputs)
            for result in map(Result, names, found, expected, sums):
                limit = result.limit(ROUNDINGS)
                check.judge(result.error(), limit, case=f"{name}: {result.name}", **fields)


def _point_model(check: Check, name: str) -> None:
    clouds, points, width = (2, 32, 16) if check.quick else (4, 256, 64)
    pos = make_clouds(clouds, points, check.device)
    edge_index = knn_graph(pos, K)
    model = make_model(name, width, SEED).to(check.device)
    _model(check, name, model, pos, lambda m, x: m(x, edge_index=edge_index))


def _image_model(check: Check, name: str) -> None:
    torch.manual_seed(SEED)
    model = randomize_norms(create_model(name)).to(check.device)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(4 if check.quick else 16, 3, 32, 32).to(check.device)
    _model(check, name, model, x.contiguous(memory_format=torch.channels_last), lambda m, x: m(x))


def _model(check: Check, name: str, model: nn.Module, x: Tensor, call: Any) -> None:
    """Logits and gradients of a training step against float64's by plain torch."""
    fields: dict[str, Any] = {"family": FAMILY, "peer": name, "nodes": x.numel() // 3}
    with check.judged(case="model", **fields), _exact_convolutions():
        model.train()
        state = {key: value.clone() for key, value in model.state_dict().items()}
        found = _step(model, x, call)
        model.load_state_dict(state)
        with kernels.plain_torch():
            expected = _step(model.double(), x.double(), call)
        check.judge(_apart(expected[0], found[0]), LOGITS_LIMIT, case="model: logits", **fields)
        error = float((found[1] - expected[1]).norm() / expected[1].norm())
        check.judge(error, GRADIENT_LIMIT, case="model: gradients", **fields)


def _step(model: nn.Module, x: Tensor, call: Any) -> tuple[Tensor, Tensor]:
    """Logits, and the gradients of all parameters in a row."""
    logits = call(model, x)
    label = torch.arange(len(logits), device=x.device) % 10
    grads = torch.autograd.grad(F.cross_entropy(logits, label), list(model.parameters()))
    return logits.detach().double().cpu(), torch.cat([g.flatten() for g in grads]).double().cpu()


@contextmanager
def _exact_convolutions() -> Iterator[None]:
    """cuDNN takes TF32 unless it is told not to: ten bits of each factor."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield
