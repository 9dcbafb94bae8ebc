"""Every operator under every transform of torch; models: tests/models/test_transforms.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from mgic_geo import kernels
from mgic_geo.graph import Neighborhoods, differential_operators, knn, knn_graph, radius_graph
from mgic_geo.transforms import farthest_point_sample

NODES, CHANNELS, GROUPS = 24, 16, 2


@dataclass
class Sample:
    """A call of an operator: what it gives, for which inputs."""

    function: Callable[..., Any]
    inputs: list[Tensor]
    learned: bool = True  # has gradients
    operators: list[Any] = field(default_factory=list)  # for opcheck: the operator, its arguments


def normal(*shape: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def graph_of(nodes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    pos = normal(nodes, 3, dtype=dtype)
    if nodes < 2:
        return pos, torch.empty(2, 0, dtype=torch.long)
    return pos, knn_graph(pos, min(4, nodes - 1))


def grouped_pointwise(nodes: int, dtype: torch.dtype) -> Sample:
    inputs = [
        normal(nodes, CHANNELS, dtype=dtype),
        normal(GROUPS, 4, CHANNELS // GROUPS, dtype=dtype),
        normal(GROUPS * 4, dtype=dtype),
        normal(nodes, GROUPS * 4, dtype=dtype),
    ]
    operators = [(kernels.grouped_pointwise, inputs), (kernels.grouped_pointwise, inputs[:2])]
    return Sample(kernels.grouped_pointwise, inputs, operators=operators)


def diff_conv(nodes: int, dtype: torch.dtype) -> Sample:
    graph = differential_operators(*graph_of(nodes, dtype))
    inputs = [
        normal(nodes, CHANNELS, dtype=dtype),
        normal(GROUPS, 7, CHANNELS // GROUPS, CHANNELS // GROUPS, dtype=dtype),
    ]
    return Sample(
        lambda x, mix: kernels.diff_conv(x, mix, *graph),
        inputs,
        operators=[(kernels.diff_conv, [*inputs, *graph])],
    )


def neighbor_max(nodes: int, dtype: torch.dtype) -> Sample:
    _, edge_index = graph_of(nodes, dtype)
    rows = Neighborhoods.from_edge_index(edge_index, nodes)
    inputs = [normal(nodes, CHANNELS, dtype=dtype)]
    return Sample(
        lambda x: kernels.neighbor_max(x, *rows)[0],
        inputs,
        operators=[(kernels.neighbor_max, [*inputs, *rows])],
    )


def norm_act(nodes: int, dtype: torch.dtype) -> Sample:
    inputs = [
        normal(nodes, CHANNELS, dtype=dtype),
        normal(CHANNELS, dtype=dtype),
        normal(CHANNELS, dtype=dtype).flip(0),
        normal(nodes, CHANNELS, dtype=dtype).flip(0),
    ]
    return Sample(
        lambda *args: kernels.norm_act(*args, 1e-3, True)[0],
        inputs,
        operators=[(kernels.norm_act, [*inputs, 1e-3, True])],
    )


def correction(nodes: int, dtype: torch.dtype) -> Sample:
    inputs = [
        normal(nodes, CHANNELS, dtype=dtype),
        normal(nodes, CHANNELS // 2, dtype=dtype),
        normal(GROUPS, CHANNELS // GROUPS, CHANNELS // 2 // GROUPS, dtype=dtype),
        normal(CHANNELS, dtype=dtype),
        normal(CHANNELS, dtype=dtype).flip(0),
    ]
    return Sample(
        lambda *args: kernels.correction(*args, 1e-3)[0],
        inputs,
        operators=[(kernels.correction, [*inputs, 1e-3])],
    )


def diff_cycle(nodes: int, dtype: torch.dtype) -> Sample:
    graph = differential_operators(*graph_of(nodes, dtype))
    half = CHANNELS // 2
    parameters = [
        normal(GROUPS, 7, half, half, dtype=dtype) / 8,
        normal(CHANNELS, dtype=dtype),
        normal(CHANNELS, dtype=dtype),
        normal(GROUPS, half // GROUPS, half, dtype=dtype) / 4,
        normal(GROUPS, half, half // GROUPS, dtype=dtype) / 4,
        normal(CHANNELS, dtype=dtype),
        normal(CHANNELS, dtype=dtype),
        normal(1, 7, half, half, dtype=dtype) / 8,
        normal(half, dtype=dtype),
        normal(half, dtype=dtype),
    ]
    x = normal(nodes, CHANNELS, dtype=dtype)
    return Sample(
        lambda x, *parameters: kernels.diff_cycle(x, list(parameters), *graph, 1e-3)[0],
        [x, *parameters],
        operators=[(kernels.diff_cycle, [x, parameters, *graph, 1e-3])],
    )


def derivatives(nodes: int, dtype: torch.dtype) -> Sample:
    pos, edge_index = graph_of(nodes, dtype)
    rows = Neighborhoods.from_edge_index(edge_index, nodes)
    operators = []
    if hasattr(kernels, "derivative_operators"):
        operators = [(kernels.derivative_operators, [pos, *rows, "average"])]
    return Sample(lambda p: differential_operators(p, rows).weight, [pos], operators=operators)


def derivatives_least_squares(nodes: int, dtype: torch.dtype) -> Sample:
    pos, edge_index = graph_of(nodes, dtype)
    rows = Neighborhoods.from_edge_index(edge_index, nodes)
    return Sample(lambda p: differential_operators(p, rows, "least_squares").weight, [pos])


def grouped_edges(nodes: int, dtype: torch.dtype) -> Sample:
    _, edge_index = graph_of(nodes, dtype)
    edge_index = edge_index.flip(1)
    operators = []
    if hasattr(kernels, "group_edges"):
        operators = [(kernels.group_edges, [edge_index, nodes])]
    return Sample(
        lambda e: tuple(Neighborhoods.from_edge_index(e, nodes)), [edge_index], False, operators
    )


def knn_of_one_cloud(nodes: int, dtype: torch.dtype) -> Sample:
    pos = normal(nodes, 3, dtype=dtype)
    k = min(4, nodes - 1)
    operators = []
    if hasattr(kernels, "neighbor_table"):
        operators = [(kernels.neighbor_table, [pos, pos, k, None, None, 1, None, True])]
    return Sample(lambda p: knn_graph(p, k), [pos], False, operators)


def knn_of_a_batch(nodes: int, dtype: torch.dtype) -> Sample:
    batch = (torch.arange(nodes) > nodes // 3).long()
    return Sample(lambda p: knn_graph(p, 3, batch), [normal(nodes, 3, dtype=dtype)], False)


def knn_of_others(nodes: int, dtype: torch.dtype) -> Sample:
    inputs = [normal(nodes, 3, dtype=dtype), normal(nodes + 1, 3, dtype=dtype)]
    return Sample(lambda x, y: knn(x, y, min(4, nodes)), inputs, False)


def neighbors_in_a_radius(nodes: int, dtype: torch.dtype) -> Sample:
    pos = normal(nodes, 3, dtype=dtype)
    return Sample(
        lambda p: kernels.neighbor_table(p, p, 5, None, None, 1, 1.0, True),
        [pos],
        False,
        [(kernels.neighbor_table, [pos, pos, 5, None, None, 1, 1.0, True])],
    )


def farthest(nodes: int, dtype: torch.dtype) -> Sample:
    pos = normal(nodes, 3, dtype=dtype)
    operators = []
    if hasattr(kernels, "farthest_points"):
        operators = [(kernels.farthest_points, [pos, min(5, nodes), 0])]
    return Sample(lambda p: farthest_point_sample(p, min(5, nodes)), [pos], False, operators)


SAMPLES: dict[str, Callable[[int, torch.dtype], Sample]] = {
    make.__name__: make
    for make in (
        grouped_pointwise, diff_conv, neighbor_max, norm_act, correction, diff_cycle, derivatives,
        derivatives_least_squares, grouped_edges, knn_of_one_cloud, knn_of_a_batch, knn_of_others,
        neighbors_in_a_radius, farthest,
    )
}  # fmt: skip
LEARNED = [
    name for name, make in SAMPLES.items() if name not in (
        "grouped_edges", "knn_of_one_cloud", "knn_of_a_batch", "knn_of_others",
        "neighbors_in_a_radius", "farthest",
    )
]  # fmt: skip
# Of positions: one node has no neighbour.
OF_GRAPHS = ("derivatives_least_squares", "knn_of_one_cloud", "knn_of_a_batch")

every = pytest.mark.parametrize("name", SAMPLES)
learned = pytest.mark.parametrize("name", LEARNED)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:DeprecationWarning",
    "ignore:.*fork.*:DeprecationWarning",
    "ignore:Converting a tensor to a Python:torch.jit.TracerWarning",
)


def sample(name: str, nodes: int = NODES, dtype: torch.dtype = torch.float64) -> Sample:
    return SAMPLES[name](nodes, dtype)


def same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def other(inputs: list[Tensor]) -> list[Tensor]:
    """Other values of the same shapes."""
    return [t.roll(1, 0) + 0.1 if t.is_floating_point() else t.flip(1) for t in inputs]


@every
def test_trace(name: str) -> None:
    case = sample(name)
    traced = torch.jit.trace(case.function, case.inputs, check_trace=False)
    for inputs in (case.inputs, other(case.inputs)):
        same(traced(*inputs), case.function(*inputs))


class Module(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


@every
def test_export(name: str) -> None:
    case = sample(name)
    exported = torch.export.export(Module(case.function), tuple(case.inputs)).module()
    for inputs in (case.inputs, other(case.inputs)):
        same(exported(*inputs), case.function(*inputs))


@every
def test_export_as_plain_operations(name: str) -> None:
    case = sample(name)
    with kernels.plain_torch():
        program = torch.export.export(Module(case.function), tuple(case.inputs))
    assert "mgic_geo" not in str(program.graph)
    for inputs in (case.inputs, other(case.inputs)):
        same(program.module()(*inputs), case.function(*inputs))


@every
def test_compile(name: str) -> None:
    case = sample(name)
    torch._dynamo.reset()
    compiled = torch.compile(case.function, fullgraph=True, backend="aot_eager")
    for inputs in (case.inputs, other(case.inputs)):
        same(compiled(*inputs), case.function(*inputs))


@learned
def test_compile_with_gradients(name: str) -> None:
    case = sample(name)
    torch._dynamo.reset()
    results = []
    for function in (case.function, torch.compile(case.function, backend="aot_eager")):
        inputs = [t.clone().requires_grad_() for t in case.inputs]
        results.append(torch.autograd.grad(function(*inputs).square().sum(), inputs))
    same(results[1], results[0])


@every
@pytest.mark.parametrize("mode", ["real", "fake"])
def test_make_fx(name: str, mode: str) -> None:
    case = sample(name)
    tracer = make_fx(case.function, tracing_mode=mode, _allow_non_fake_inputs=True)
    traced = tracer(*case.inputs)
    for inputs in (case.inputs, other(case.inputs)):
        same(traced(*inputs), case.function(*inputs))


@every
def test_vmap(name: str) -> None:
    case = sample(name)
    pairs = [torch.stack(both) for both in zip(case.inputs, other(case.inputs))]
    found = torch.func.vmap(case.function)(*pairs)
    for i in range(2):
        expected = case.function(*(pair[i] for pair in pairs))
        same(torch.utils._pytree.tree_map(lambda t, i=i: t[i], found), expected)


@every
def test_vmap_of_the_registered_operator(name: str) -> None:
    for operator, args in sample(name).operators:
        tensors = [i for i, t in enumerate(args) if isinstance(t, Tensor)]
        in_dims = tuple(0 if i in tensors else None for i in range(len(args)))
        pairs = [
            torch.stack([t, t + 0.1 * t.is_floating_point()]).to(t.dtype) if i in tensors else t
            for i, t in enumerate(args)
        ]
        found = torch.func.vmap(operator.op, in_dims)(*pairs)
        first = operator(*(t[1] if i in tensors else t for i, t in enumerate(pairs)))
        compared = (found, first) if isinstance(first, Tensor) else (found[0], first[0])
        same(compared[0][1], compared[1])


@learned
def test_jvp(name: str) -> None:
    """Forward-mode derivatives, with and without ``torch.func``, are finite differences."""
    case = sample(name)
    tangents = [torch.ones_like(t) for t in case.inputs]
    value, found = torch.func.jvp(case.function, tuple(case.inputs), tuple(tangents))
    same(value, case.function(*case.inputs))
    step = 1e-6
    ahead, behind = (case.function(*(t + sign * step for t in case.inputs)) for sign in (1.0, -1.0))
    torch.testing.assert_close(found, (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-5)
    with torch.autograd.forward_ad.dual_level():
        duals = [torch.autograd.forward_ad.make_dual(t, v) for t, v in zip(case.inputs, tangents)]
        dual = torch.autograd.forward_ad.unpack_dual(case.function(*duals))
        same(dual.tangent, found)


@learned
def test_jacrev(name: str) -> None:
    case = sample(name, nodes=6)
    found = torch.func.jacrev(lambda x: case.function(x, *case.inputs[1:]))(case.inputs[0])
    expected = torch.autograd.functional.jacobian(
        lambda x: case.function(x, *case.inputs[1:]), case.inputs[0]
    )
    same(found, expected)


@learned
def test_func_grad(name: str) -> None:
    case = sample(name)
    numbers = tuple(range(len(case.inputs)))
    found = torch.func.grad(lambda *t: case.function(*t).square().sum(), numbers)(*case.inputs)
    inputs = [t.clone().requires_grad_() for t in case.inputs]
    same(found, torch.autograd.grad(case.function(*inputs).square().sum(), inputs))


@learned
def test_gradgradcheck(name: str) -> None:
    case = sample(name, nodes=5)
    inputs = [t.clone().requires_grad_() for t in case.inputs]
    assert torch.autograd.gradcheck(case.function, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(case.function, inputs, fast_mode=True)


@every
def test_opcheck(name: str) -> None:
    case = sample(name)
    for operator, args in case.operators:
        torch.library.opcheck(getattr(operator, "op", operator), args)


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_types(name: str, dtype: torch.dtype) -> None:
    """Sums of such types differ from those in double precision by a few roundings."""
    case, exact = sample(name, dtype=torch.float32), sample(name)
    inputs = [t.to(dtype) if t.is_floating_point() else t for t in case.inputs]
    found = case.function(*inputs)
    if name not in LEARNED:
        rounded = [t.double() if t.is_floating_point() else t for t in inputs]
        expected = exact.function(*rounded)
        agreeing = [
            (a == b).double().mean()
            for a, b in zip(*(t if isinstance(t, tuple) else (t,) for t in (found, expected)))
        ]
        # Distances that such a type cannot tell apart may change places.
        assert min(agreeing) > (0.6 if dtype == torch.bfloat16 else 0.9)
        return
    assert found.dtype == dtype
    expected = exact.function(*(t.double() for t in inputs))
    size = expected.abs().max()
    assert (found.double() - expected).abs().max() < 30 * torch.finfo(dtype).eps * size


@every
@pytest.mark.parametrize("nodes", [0, 1])
def test_no_node_and_one(name: str, nodes: int) -> None:
    if name in OF_GRAPHS or (nodes == 0 and name in ("farthest", "knn_of_others")):
        return  # a cloud that is too small is an error in words, see tests/graph/test_knn.py
    case = sample(name, nodes=nodes)
    found = case.function(*case.inputs)
    with kernels.plain_torch():
        same(torch.nan_to_num(found[0]), torch.nan_to_num(case.function(*case.inputs)[0])) if (
            isinstance(found, tuple)
        ) else torch.testing.assert_close(found, case.function(*case.inputs), equal_nan=True)


def apart(t: Tensor) -> Tensor:
    """Every second column of a tensor that is twice as wide."""
    return t.repeat_interleave(2, dim=-1)[..., ::2]


def turned(t: Tensor) -> Tensor:
    return t.transpose(0, -1).contiguous().transpose(0, -1)


def inside(t: Tensor) -> Tensor:
    """Rows in the middle of a larger tensor."""
    return torch.cat([t[:1], t, t[:1]])[1:-1]


@every
@pytest.mark.parametrize("layout", [apart, turned, inside])
def test_layouts(name: str, layout: Callable[[Tensor], Tensor]) -> None:
    case = sample(name)
    same(case.function(*map(layout, case.inputs)), case.function(*case.inputs))


@every
def test_expanded(name: str) -> None:
    case = sample(name)
    if not case.inputs[0].is_floating_point() or name in ("knn_of_one_cloud", "knn_of_a_batch"):
        return  # equal points have no one nearest neighbour
    first = case.inputs[0][:1].expand_as(case.inputs[0]) if name in LEARNED else case.inputs[0]
    if name.startswith("derivatives"):
        return  # points in one place have no derivatives: an error in words
    same(
        case.function(first, *case.inputs[1:]),
        case.function(first.contiguous(), *case.inputs[1:]),
    )


@every
def test_inputs_that_share_memory(name: str) -> None:
    """All inputs are views of one tensor, and none of them is written to."""
    case = sample(name)
    if not case.inputs[0].is_floating_point():
        return
    memory = normal(max(t.numel() for t in case.inputs), dtype=torch.float64)
    inputs = [memory[: t.numel()].view(t.shape) for t in case.inputs]
    expected = case.function(*(t.clone() for t in inputs))
    kept = memory.clone()
    same(case.function(*inputs), expected)
    assert torch.equal(memory, kept)


class Tagged(Tensor):
    """A subclass as users write them."""


@every
def test_subclasses(name: str) -> None:
    case = sample(name)
    found = case.function(*(t.as_subclass(Tagged) for t in case.inputs))
    for a, b in zip(*(t if isinstance(t, tuple) else (t,) for t in (
        found, case.function(*case.inputs)
    ))):  # fmt: skip
        same(a.as_subclass(Tensor), b)


@every
def test_meta_tensors_have_the_shapes(name: str) -> None:
    case = sample(name)
    expected = case.function(*case.inputs)
    for operator, args in case.operators[:1]:
        placed = torch.utils._pytree.tree_map_only(Tensor, lambda t: t.to("meta"), args)
        found = operator(*placed)
        first = found if isinstance(found, Tensor) else found[0]
        real = operator(*args)
        assert first.shape == (real if isinstance(real, Tensor) else real[0]).shape
        assert first.device.type == "meta"
    assert expected is not None


@every
def test_threads(name: str) -> None:
    cases = [sample(name) for _ in range(8)]
    expected = cases[0].function(*cases[0].inputs)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda case: case.function(*case.inputs), cases * 3):
            same(found, expected)


FORK = """
import os, signal, sys, torch
torch.set_num_threads(2)
sys.path.insert(0, sys.argv[1])
import test_transforms as t
cases = {name: t.sample(name, nodes=3000 if name != "diff_cycle" else 500) for name in t.SAMPLES}
expected = {name: case.function(*case.inputs) for name, case in cases.items()}
child = os.fork()
if child == 0:
    signal.alarm(60)
    torch.set_num_threads(1)  # as a loader's workers do; torch's own threads are not here either
    for name, case in cases.items():
        t.same(case.function(*case.inputs), expected[name])
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_after_use_runs_them_all() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, os.path.dirname(__file__)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:] or signal.Signals(-done.returncode)


def test_radius_graph_is_what_the_table_holds() -> None:
    pos = normal(30, 3, dtype=torch.float64)
    source, target = radius_graph(pos, 1.0)
    distance = torch.cdist(pos, pos).fill_diagonal_(torch.inf)
    expected = (distance <= 1.0).nonzero()
    assert set(zip(target.tolist(), source.tolist())) == set(map(tuple, expected.tolist()))


@learned
def test_batched_gradients(name: str) -> None:
    """Several gradients of one result at once, as ``torch.autograd.functional`` takes them.

    torch has no such rule for operators with lists of tensors, and says so.
    """
    case = sample(name)
    inputs = [t.clone().requires_grad_() for t in case.inputs]
    y = case.function(*inputs)
    grads = torch.stack([torch.ones_like(y), y.detach()])
    if name == "diff_cycle":
        with pytest.raises(RuntimeError, match="Batching rule not implemented"):
            torch.autograd.grad(y, inputs, grads, is_grads_batched=True, retain_graph=True)
        return
    found = torch.autograd.grad(y, inputs, grads, is_grads_batched=True, retain_graph=True)
    for i in range(2):
        expected = torch.autograd.grad(y, inputs, grads[i], retain_graph=True)
        same([t[i] for t in found], list(expected))
