"""Every registered model under every transform of torch."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from mgic_geo import kernels
from mgic_geo.models import create_model, list_models, model_data
from mgic_geo.testing import randomize_norms

# Networks of the same blocks as others: they wait for `make test-slow`.
SAMPLED = ("resnet20", "mgic_mobilenetv3_small")
POINTS = list_models(task="points") + list_models(task="point_segmentation")
QUICK = [name for name in POINTS if name not in ("pyramid", "diffgcn_seg", "mgic_diffgcn_seg")]
IMAGES = [name for name in list_models() if model_data(name) in ("images", "masks")]
OTHERS = [name for name in list_models() if name not in POINTS and name not in IMAGES]


def with_slow(names: list[str]) -> list[Any]:
    return [
        pytest.param(name, marks=[] if name in (*QUICK, *SAMPLED) else pytest.mark.slow)
        for name in names
    ]


every = pytest.mark.parametrize("name", with_slow(list_models()))
of_points = pytest.mark.parametrize("name", with_slow(POINTS))
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:DeprecationWarning",
    "ignore::torch.jit.TracerWarning",
    "ignore:.*fork.*:DeprecationWarning",
)


@pytest.fixture(autouse=True)
def _forget_compiled() -> None:
    torch._dynamo.reset()


def build(name: str) -> tuple[nn.Module, Tensor]:
    """A small form of the model in eval mode, and an input of two samples."""
    torch.manual_seed(0)
    if name in IMAGES:
        model = create_model(name, num_classes=3)
        side = 32 if getattr(model, "input_size", 224) == 32 else 64
        return randomize_norms(model).eval(), torch.randn(2, 3, side, side)
    options: dict[str, Any] = {"width": 16, "k": 5, "coarsest": 8, "group_size": 4}
    if name.endswith("pyramid"):
        options |= {"depth": 1, "num_grids": 2, "hidden": 8}
    if name not in POINTS:
        options = {"point_options": options, "image": "resnet20", "view_size": 16, "num_views": 2}
    model = create_model(name, num_classes=3, **options)
    return randomize_norms(model).double().eval(), torch.rand(2, 24, 3, dtype=torch.float64)


def same(found: Any, expected: Any, x: Tensor) -> None:
    close = 1e-9 if x.dtype == torch.float64 else 2e-4
    torch.testing.assert_close(found, expected, rtol=close, atol=close)


@every
def test_trace(name: str) -> None:
    model, x = build(name)
    with torch.no_grad():
        traced = torch.jit.trace(model, x, check_trace=False)
        for value in (x, x.roll(1, 1)):
            same(traced(value), model(value), x)


@every
@pytest.mark.parametrize("plain", [False, True])
def test_export(name: str, plain: bool) -> None:
    model, x = build(name)
    if plain:
        with kernels.plain_torch():
            program = torch.export.export(model, (x,))
        assert "mgic_geo" not in str(program.graph)
    else:
        program = torch.export.export(model, (x,))
    with torch.no_grad():
        for value in (x, x.roll(1, 1)):
            same(program.module()(value), model(value), x)


@pytest.mark.parametrize(
    "name",
    [
        *with_slow(POINTS),
        *(pytest.param(n, marks=pytest.mark.slow) for n in [*IMAGES, *OTHERS]),
    ],
)
def test_compile_in_one_graph(name: str) -> None:
    model, x = build(name)
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        same(compiled(x), model(x), x)


@of_points
def test_compile_a_training_step(name: str) -> None:
    model, x = build(name)
    model.train()
    results = []
    for run in (model, torch.compile(copy.deepcopy(model), fullgraph=True, backend="aot_eager")):
        loss = run(x).square().sum()
        loss.backward()
        results.append([p.grad for p in run.parameters() if p.grad is not None])
    for a, b in zip(*results, strict=True):
        same(a, b, x)


@every
def test_make_fx(name: str) -> None:
    model, x = build(name)
    with torch.no_grad():
        traced = make_fx(model)(x)
        for value in (x, x.roll(1, 1)):
            same(traced(value), model(value), x)


@every
def test_vmap(name: str) -> None:
    """Over samples, as those do who take gradients of each."""
    model, x = build(name)
    with torch.no_grad():
        found = torch.func.vmap(lambda one: model(one[None])[0])(x)
        same(found, model(x), x)


@every
def test_jvp(name: str) -> None:
    model, x = build(name)
    model, x = model.double(), x.double()
    tangent = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    value, found = torch.func.jvp(model, (x,), (tangent,))
    same(value, model(x).detach(), x)
    step = 1e-6
    with torch.no_grad():
        expected = (model(x + step * tangent) - model(x - step * tangent)) / (2 * step)
    # kinks of ReLUs and maxima lie between the two now and then
    assert (found - expected).abs().median() <= 1e-4 * expected.abs().max() + 1e-8


@every
def test_gradients_of_a_function_of_the_weights(name: str) -> None:
    model, x = build(name)
    parameters = {k: p.detach() for k, p in model.named_parameters()}

    def loss(values: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(model, values, (x,)).square().mean()

    found = torch.func.grad(loss)(parameters, x)
    (model(x).square().mean()).backward()
    for key, p in model.named_parameters():
        expected = torch.zeros_like(p) if p.grad is None else p.grad
        size = expected.abs().max().clamp_min(1e-3)
        same(found[key] / size, expected / size, x)


@of_points
def test_jacrev(name: str) -> None:
    model, x = build(name)
    found = torch.func.jacrev(model)(x[:1])
    expected = torch.autograd.functional.jacobian(model, x[:1])
    same(found, expected, x)


@of_points
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_types(name: str, dtype: torch.dtype) -> None:
    model, x = build(name)
    x = x.to(dtype).double()  # the same graph
    with torch.no_grad():
        expected, found = model(x), copy.deepcopy(model).to(dtype)(x.to(dtype))
    assert found.dtype == dtype
    assert (found.double() - expected).abs().max() <= 0.3 * expected.abs().max()


@every
@pytest.mark.parametrize("train", [False, True])
def test_autocast(name: str, train: bool) -> None:
    model, x = build(name)
    model, x = model.float().train(train), x.float()
    results = []
    for enabled in (False, True):
        run = copy.deepcopy(model)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = run(x)
        y.float().square().sum().backward()
        assert y.isfinite().all()
        assert all(p.grad is None or p.grad.isfinite().all() for p in run.parameters())
        results.append(y.detach().float())
    if not train:  # the statistics of two samples blow roundings up
        assert (results[1] - results[0]).abs().max() <= 0.5 * results[0].abs().max()


@every
def test_layouts(name: str) -> None:
    """Slices of larger tensors, channels last, and inputs that are not written to."""
    model, x = build(name)
    forms = [torch.cat([x, x])[:2], x.transpose(0, 1).contiguous().transpose(0, 1)]
    if x.dim() == 4:
        forms.append(x.contiguous(memory_format=torch.channels_last))
    kept = x.clone()
    with torch.no_grad():
        expected = model(x)
        for form in forms:
            same(model(form), expected, x)
    assert torch.equal(x, kept)


@every
def test_threads(name: str) -> None:
    model, x = build(name)
    with torch.no_grad():
        expected = model(x)

        def run(_: int) -> Tensor:
            with torch.no_grad():
                return model(x)

        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(run, range(4)):
                same(found, expected, x)


FORK = """
import os, signal, sys, torch
torch.set_num_threads(2)
from mgic_geo.models import create_model
models = {n: create_model(n).eval() for n in ("mgic_diffgcn", "mgic_edgeconv")}
x = torch.rand(2, 512, 3)
with torch.no_grad():
    expected = {n: m(x) for n, m in models.items()}
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        torch.set_num_threads(1)  # as a loader's workers do
        for n, m in models.items():
            torch.testing.assert_close(m(x), expected[n])
        os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_worker_forked_after_use_runs_a_model() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, text=True
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
