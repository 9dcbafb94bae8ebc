from __future__ import annotations

import importlib
import weakref

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.graph import DifferentialOperators, differential_operators, knn_graph
from mgic_geo.hierarchy import ChannelHierarchy
from mgic_geo.kernels import diff_cycle, diff_cycle_reference, dispatch
from mgic_geo.kernels.diff_cycle import diff_cycle_backward, has_diff_cycle
from mgic_geo.nn import MGIC, DiffGCNConv, GraphBlock
from mgic_geo.testing import random_clouds, randomize_norms

EPS = 1e-5
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
# nodes, width, group size, coarsest width; the last one fills no register
SHAPES = [(90, 64, 8, 16), (300, 128, 16, 64), (40, 32, 32, 16), (33, 64, 4, 8), (30, 12, 3, 6)]


# Without tracing the second derivatives, which takes long.
CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")


def operators(nodes: int, dtype: torch.dtype) -> DifferentialOperators:
    pos, batch = random_clouds(1, nodes, dtype=dtype)
    return differential_operators(pos, knn_graph(pos, min(6, nodes - 1), batch))


def inputs(width: int, group_size: int, coarsest: int, dtype: torch.dtype) -> list[Tensor]:
    made = []
    levels = ChannelHierarchy(width, group_size, coarsest).levels
    for level in levels:
        c, g = level.width, level.groups
        made += [torch.randn(g, 7, c // g, c // g) * (g / (7 * c)) ** 0.5]
        made += [0.5 + torch.rand(c), torch.randn(c)]
        if level is not levels[-1]:
            t = level.transfer_groups
            made += [torch.rand(t, c // t // 2, c // t) * t / c]
            made += [torch.rand(t, c // t, c // t // 2) * t / c]
            made += [0.5 + torch.rand(c), torch.randn(c)]
    return [t.to(dtype).requires_grad_() for t in made]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_plain_torch(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    graph, parameters = operators(shape[0], dtype), inputs(*shape[1:], dtype)
    x = torch.randn(*shape[:2], dtype=dtype, requires_grad=True)
    found, statistics, _ = diff_cycle(x, parameters, *graph, EPS)
    expected, expected_statistics = diff_cycle_reference(x, parameters, *graph[:3], EPS)
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(found, expected, **close)
    torch.testing.assert_close(statistics, [t.detach() for t in expected_statistics], **close)
    assert not any(t.requires_grad for t in statistics)
    grad = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad(found, [x, *parameters], grad),
        torch.autograd.grad(expected, [x, *parameters], grad),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=10 * close["rtol"], atol=50 * close["atol"])


@pytest.mark.skipif(not dispatch.COMPILED, reason="no compiled kernels here")
def test_some_of_these_shapes_are_compiled_and_some_are_not() -> None:
    x = torch.empty(2, 1)
    compiled = [has_diff_cycle(x, inputs(*shape[1:], torch.float32)) for shape in SHAPES]
    assert compiled[0]
    assert not compiled[-1]


@pytest.mark.parametrize("sizes", [(8, 4, 4), (6, 3, 3)])
def test_first_and_second_gradients(sizes: tuple[int, ...]) -> None:
    graph, parameters = operators(6, torch.float64), inputs(*sizes, torch.float64)
    x = torch.randn(6, sizes[0], dtype=torch.float64, requires_grad=True)

    def function(x: Tensor, *parameters: Tensor) -> Tensor:
        return diff_cycle(x, list(parameters), *graph, EPS)[0]

    assert torch.autograd.gradcheck(function, (x, *parameters), fast_mode=True)
    assert torch.autograd.gradgradcheck(function, (x, *parameters), fast_mode=True, atol=1e-4)


def test_registration_is_sound() -> None:
    graph, parameters = operators(9, torch.float64), inputs(16, 4, 8, torch.float64)
    x = torch.randn(9, 16, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(diff_cycle.op, (x, parameters, *graph, EPS))
    if not has_diff_cycle(x, parameters):
        pytest.skip("no compiled kernels here")
    _, statistics, kept = diff_cycle(x, parameters, *graph, EPS)
    grad = torch.randn(9, 16, dtype=torch.float64, requires_grad=True)
    args = (grad, x, parameters, *graph, statistics, kept, EPS)
    torch.library.opcheck(diff_cycle_backward.op, args, test_utils=CHECKS)


def test_inputs_need_not_be_contiguous_and_stay_as_they_are() -> None:
    graph, parameters = operators(30, torch.float32), inputs(32, 8, 16, torch.float32)
    x, grad = torch.randn(32, 30).T.requires_grad_(), torch.randn(32, 30).T
    before = x.detach().clone(), grad.clone()
    found = diff_cycle(x, parameters, *graph, EPS)[0]
    expected = diff_cycle_reference(x, parameters, *graph[:3], EPS)[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for contiguous in (False, True):
        given = grad.contiguous() if contiguous else grad
        a, b = (torch.autograd.grad(y, x, given, retain_graph=True)[0] for y in (found, expected))
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
        assert torch.equal(given, before[1])
    assert torch.equal(x, before[0])


@pytest.mark.skipif(not dispatch.COMPILED, reason="no compiled kernels here")
@pytest.mark.parametrize("retain_graph", [False, True])
def test_backward_lets_go_of_what_it_has_used(
    retain_graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = importlib.import_module("mgic_geo.kernels.diff_cycle.cpu")
    after_norm, after_conv = kernels.norm_act_backward, kernels.diff_conv_backward
    seen: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []

    def norm(grad: Tensor, z: Tensor, *rest: object) -> object:
        seen.append(weakref.ref(z))
        return after_norm(grad, z, *rest)

    def conv(*args: object, **options: object) -> object:
        alive.append(seen[-1]() is not None)
        return after_conv(*args, **options)

    monkeypatch.setattr(kernels, "norm_act_backward", norm)
    monkeypatch.setattr(kernels, "diff_conv_backward", conv)
    graph, parameters = operators(30, torch.float32), inputs(64, 8, 16, torch.float32)
    x = torch.randn(30, 64, requires_grad=True)
    y = diff_cycle(x, parameters, *graph, EPS)[0]
    y.sum().backward(retain_graph=retain_graph)
    assert alive == [retain_graph] * 3


def relaxation(channels: int, groups: int) -> GraphBlock:
    return GraphBlock(DiffGCNConv(channels, channels, groups, bias=False), channels, residual=True)


def no_cycle(*_: object) -> None:
    return None


def biased(layer: MGIC) -> None:
    block = layer.blocks[0]
    assert isinstance(block, GraphBlock)
    block.conv = DiffGCNConv(32, 32, 4).double()


def frozen(layer: MGIC) -> None:
    layer.norms[0].eval()


def plain(layer: MGIC) -> None:
    block = layer.blocks[1]
    assert isinstance(block, GraphBlock)
    block.residual = False


def seen(layer: MGIC) -> None:
    layer.norms[0].register_forward_pre_hook(no_cycle)


@pytest.mark.parametrize(("change", "operators_used"), [
    (no_cycle, 1), (biased, 0), (frozen, 0), (plain, 0), (seen, 0), (nn.Module.eval, 0)
])  # fmt: skip
def test_the_layer_takes_it_where_it_is_the_same(
    change: object, operators_used: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = operators(50, torch.float64)
    layer = randomize_norms(MGIC(relaxation, 32, 8, 16)).double()
    assert callable(change)
    change(layer)
    calls = []

    def counted(*args: object) -> object:
        calls.append(args)
        return diff_cycle(*args)

    monkeypatch.setattr("mgic_geo.nn.graph_block.diff_cycle", counted)
    x = torch.randn(50, 32, dtype=torch.float64, requires_grad=True)
    state = {name: t.clone() for name, t in layer.state_dict().items()}
    results = []
    for _ in range(2):
        layer.load_state_dict(state)
        y = layer(x, graph)
        gradients = torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])
        results.append([y, *gradients, *(b.clone().double() for b in layer.buffers())])
        monkeypatch.setattr(GraphBlock, "run_cycle", staticmethod(no_cycle))
    assert len(calls) == (operators_used if dispatch.COMPILED else 0)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def test_training_compiles_without_a_break() -> None:
    graph = operators(50, torch.float64)
    layer = randomize_norms(MGIC(relaxation, 32, 8, 16)).double()
    x = torch.randn(50, 32, dtype=torch.float64)
    inputs = list(layer.parameters())
    results = []
    for function in (layer, torch.compile(layer, fullgraph=True, backend="aot_eager")):
        y = function(x, graph)
        results.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)
