"""On a GPU these tests run its kernels; elsewhere Triton interprets them on CPU tensors.

How a kernel runs is settled when Triton is imported, so the interpreter gets a process of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from mgic_geo import kernels
from mgic_geo.kernels import derive, diff_conv_reference, dispatch
from mgic_geo.kernels.gpu.blocks import choose_blocks

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
INSTALLED = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(
    not INSTALLED, reason="triton is not installed: no GPU kernel is tested"
)
# nodes, groups, channels of a group in and out
SHAPES = [
    (1, 2, 3, 4),
    (37, 3, 8, 8),
    (32, 1, 3, 20),
    (9, 4, 5, 5),
    (70, 3, 3, 7),
    (10, 3, 17, 17),
    (31, 1, 16, 33),
    (20, 1, 40, 70),
    (9, 1, 5, 140),
]
HALF = [torch.float16, torch.bfloat16]


@needs_triton
@pytest.mark.skipif(INTERPRETED or torch.cuda.is_available(), reason="the tests below run here")
def test_kernels_are_right_where_triton_interprets_them(repository: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            "not slow",
            __file__,
        ],
        cwd=repository,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("size", [1, 3, 8, 16, 17, 32, 33, 100])
@pytest.mark.parametrize("out", [1, 5, 8, 16, 40])
@pytest.mark.parametrize("groups", [1, 2, 7])
def test_tiles_cover_each_channel_once(groups: int, size: int, out: int) -> None:
    blocks = choose_blocks(groups, size, out, 32)
    assert blocks.bands == len(range(0, groups, blocks.groups))
    for lanes, tiles, channels in (
        (blocks.inputs, blocks.input_tiles, size),
        (blocks.outputs, blocks.output_tiles, out),
    ):
        assert lanes in (16, 32)
        assert (tiles - 1) * lanes < blocks.groups * channels <= tiles * lanes
        assert blocks.groups == 1 or tiles == 1  # a tile of several groups holds them whole


def random_graph(nodes: int) -> SimpleNamespace:
    """Degrees from 0 to 4, and node 0 a neighbour of many: transposed, one long row."""
    degree = torch.randint(1, 5, (nodes,))
    degree[::5] = 0
    target = torch.repeat_interleave(torch.arange(nodes), degree)
    col = torch.randint(nodes, (len(target),))
    rowptr = torch.cat([torch.zeros(1, dtype=torch.long), degree.cumsum(0)])
    col[rowptr[:-1][degree > 2]] = 0
    weight = torch.randn(len(col), 6)
    order = torch.argsort(col, stable=True)
    count = torch.bincount(col, minlength=nodes)
    rowptr_t = torch.cat([torch.zeros(1, dtype=torch.long), count.cumsum(0)])
    return SimpleNamespace(
        forward=(rowptr.int().to(DEVICE), col.int().to(DEVICE), weight.to(DEVICE)),
        transposed=(
            rowptr_t.int().to(DEVICE), target[order].int().to(DEVICE), weight[order].to(DEVICE)
        ),
    )  # fmt: skip


def route_to_triton(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Lets the registered operators take the kernels here, too; gives what they were asked for."""
    asked: list[Tensor] = []

    def takes(x: Tensor) -> bool:
        asked.append(x)
        return x.dtype == torch.float32

    monkeypatch.setattr(dispatch, "COMPILED", False)
    monkeypatch.setattr(dispatch, "_gpu_takes", takes)
    return asked


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape).to(DEVICE, dtype)


def with_gradients(
    function: Callable[..., Tensor], a: Tensor, b: Tensor, grad: Tensor
) -> list[Tensor]:
    """The value and both gradients in float64."""
    a, b = (t.detach().double().requires_grad_() for t in (a, b))
    value = function(a, b)
    return [value.detach(), *torch.autograd.grad(value, [a, b], grad.double())]


def assert_rounded(
    found: tuple[Tensor, ...], function: Callable[..., Tensor], absolute: Callable[..., Tensor],
    *inputs: Tensor,
) -> None:  # fmt: skip
    """Values and gradients differ from float64's by a few roundings of the sums' terms."""
    expected = with_gradients(function, *inputs)
    sizes = with_gradients(absolute, *(t.abs() for t in inputs))
    for a, b, size in zip(found, expected, sizes, strict=True):
        assert a.dtype == inputs[0].dtype
        assert a.shape == b.shape
        error = (a.double() - b).abs() / size.clamp_min(1e-30)
        assert error.max().item() <= 4 * torch.finfo(a.dtype).eps


def check_diff_conv(
    nodes: int, groups: int, size: int, out: int, dtype: torch.dtype = torch.float32
) -> None:
    graph = random_graph(nodes)
    rowptr, col, weight = graph.forward
    x, grad = normal(nodes, groups * size, dtype=dtype), normal(nodes, groups * out, dtype=dtype)
    mix = normal(groups, 7, size, out, dtype=dtype)
    kernels = load()
    assert_rounded(
        (
            kernels.diff_conv_forward(x, mix, rowptr, col, weight),
            *kernels.diff_conv_backward(grad, x, mix, *graph.transposed),
        ),
        lambda x, mix: diff_conv_reference(x, mix, rowptr, col, weight),
        lambda x, mix: diff_conv_reference(x, mix, rowptr, col, weight.abs()),
        x, mix, grad,
    )  # fmt: skip


def load() -> Any:
    """The kernels of all operators."""
    modules = [
        importlib.import_module(f"mgic_geo.kernels.{name}.gpu")
        for name in ("pointwise", "diff_conv", "neighbor_max")
    ]
    return SimpleNamespace(**{k: v for module in modules for k, v in vars(module).items()})


@needs_triton
# Triton 3.9 announces that 3.10 will round products before they are added
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION is unset")
class TestKernels:
    __test__ = INTERPRETED or torch.cuda.is_available()

    @pytest.mark.parametrize(("nodes", "groups", "size", "out"), SHAPES)
    def test_diff_conv_equals_the_reference(
        self, nodes: int, groups: int, size: int, out: int
    ) -> None:
        check_diff_conv(nodes, groups, size, out)

    @pytest.mark.parametrize("dtype", HALF)
    def test_diff_conv_sums_half_types_in_float32(self, dtype: torch.dtype) -> None:
        check_diff_conv(33, 3, 8, 8, dtype)

    def test_weight_gradient_over_many_steps_of_a_program(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        load()
        monkeypatch.setattr("mgic_geo.kernels.gpu.launch._PROGRAMS", 2)
        check_diff_conv(130, 1, 8, 8)

    @pytest.mark.parametrize(("groups", "size", "out"), [(3, 8, 8), (1, 40, 20)])
    def test_weight_gradient_alone_is_the_same_bit_for_bit(
        self, groups: int, size: int, out: int
    ) -> None:
        x, grad = normal(40, groups * size), normal(40, groups * out)
        graph = random_graph(40).transposed
        both = load().diff_conv_backward(grad, x, normal(groups, 7, size, out), *graph)
        assert torch.equal(load().diff_conv_grad_mix(grad, x, groups, *graph), both[1])

    def test_inputs_need_not_be_contiguous(self) -> None:
        graph, kernels = random_graph(30), load()
        x, grad, mix = normal(8, 30).T, normal(8, 30).T, normal(2, 7, 4, 4).transpose(2, 3)
        copies = (x.contiguous(), mix.contiguous())
        assert torch.equal(
            kernels.diff_conv_forward(x, mix, *graph.forward),
            kernels.diff_conv_forward(*copies, *graph.forward),
        )
        for a, b in zip(
            kernels.diff_conv_backward(grad, x, mix, *graph.transposed),
            kernels.diff_conv_backward(grad.contiguous(), *copies, *graph.transposed),
        ):
            assert torch.equal(a, b)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    @pytest.mark.filterwarnings("ignore:invalid value encountered")  # NumPy's, interpreting
    def test_nan_and_infinity_stay_visible_in_their_nodes(self, value: float) -> None:
        graph, x, mix = random_graph(70).forward, normal(70, 16), normal(2, 7, 8, 8)
        x[33, 5] = value
        shown = ~load().diff_conv_forward(x, mix, *graph).isfinite()
        expected = ~diff_conv_reference(x, mix, *graph).isfinite()
        assert expected.any()
        assert (shown | ~expected).all()
        assert torch.equal(shown.any(dim=1), expected.any(dim=1))

    def test_no_node_and_no_edge(self) -> None:
        kernels = load()
        for nodes in (0, 3):
            graph = (
                torch.zeros(nodes + 1, dtype=torch.int32, device=DEVICE),
                torch.zeros(0, dtype=torch.int32, device=DEVICE),
                normal(0, 6),
            )
            x, mix = normal(nodes, 6), normal(2, 7, 3, 4)
            y = kernels.diff_conv_forward(x, mix, *graph)
            torch.testing.assert_close(y, diff_conv_reference(x, mix, *graph))
            grad_x, grad_mix = kernels.diff_conv_backward(y, x, mix, *graph)
            assert grad_x.shape == x.shape
            assert not grad_mix[:, 1:].any()
            assert kernels.derive(x, *graph).shape == (nodes, 7, 6)
            best, who = kernels.neighbor_max_forward(x, *graph[:2])
            assert not best.any()
            assert (who == -1).all()
            assert not kernels.neighbor_max_backward(best, who, nodes).any()

    @pytest.mark.parametrize("channels", [1, 24, 40])
    def test_derive_equals_the_reference(self, channels: int) -> None:
        graph, x = random_graph(41).forward, normal(41, channels)
        torch.testing.assert_close(
            load().derive(x, *graph), derive(x, *graph), rtol=1e-5, atol=1e-4
        )

    @pytest.mark.parametrize("dtype", [torch.float32, *HALF])
    @pytest.mark.parametrize(("nodes", "channels"), [(37, 5), (16, 70)])
    def test_neighbor_max_and_the_first_among_equals(
        self, nodes: int, channels: int, dtype: torch.dtype
    ) -> None:
        rowptr, col, _ = random_graph(nodes).forward
        x = torch.randint(-3, 3, (nodes, channels)).to(DEVICE, dtype)
        x[x == -3] = float("-inf")  # also the only neighbour of some node
        x[7, 0] = float("nan")
        best, who = load().neighbor_max_forward(x, rowptr, col)
        assert who.dtype == torch.int32
        for i in range(nodes):
            near = col[rowptr[i] : rowptr[i + 1]].long()
            if len(near) == 0:
                assert not best[i].any()
                assert (who[i] == -1).all()
                continue
            values = x[near]
            torch.testing.assert_close(best[i], values.amax(0), equal_nan=True, rtol=0.0, atol=0.0)
            first = (values == best[i]).int().argmax(0)
            numbers = ~best[i].isnan()
            assert torch.equal(who[i][numbers].long(), near[first][numbers])
            assert (who[i][~numbers] == 7).all()

    @pytest.mark.parametrize("deterministic", [False, True])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_gradients_go_to_the_maxima_alone(
        self, dtype: torch.dtype, deterministic: bool
    ) -> None:
        rowptr, col, _ = random_graph(37).forward
        _, who = load().neighbor_max_forward(normal(37, 70), rowptr, col)
        grad = normal(37, 70, dtype=dtype)
        torch.use_deterministic_algorithms(deterministic)
        try:
            found = load().neighbor_max_backward(grad, who, 37)
        finally:
            torch.use_deterministic_algorithms(False)
        expected = torch.zeros(38, 70, dtype=torch.float64, device=DEVICE)
        expected.scatter_add_(0, torch.where(who < 0, 37, who).long(), grad.double())
        torch.testing.assert_close(found, expected[:37].to(dtype))

    @pytest.mark.parametrize("dtype", [torch.float32, *HALF])
    @pytest.mark.parametrize(("nodes", "groups", "size", "out"), SHAPES[:-1])
    def test_grouped_pointwise(
        self, nodes: int, groups: int, size: int, out: int, dtype: torch.dtype
    ) -> None:
        x, grad = (normal(nodes, groups * c, dtype=dtype) for c in (size, out))
        weight = normal(groups, out, size, dtype=dtype)

        def reference(x: Tensor, weight: Tensor) -> Tensor:
            return torch.einsum("ngi,goi->ngo", x.unflatten(-1, (groups, size)), weight).flatten(1)

        found = (
            load().grouped_pointwise_forward(x, weight),
            *load().grouped_pointwise_backward(grad, x, weight),
        )
        assert_rounded(found, reference, reference, x, weight, grad)

    @pytest.mark.parametrize(("into_x", "into_mix"), [(True, True), (True, False), (False, True)])
    @pytest.mark.parametrize(("groups", "size", "out"), [(2, 8, 8), (1, 70, 3)])
    def test_registered_operators_take_the_kernels(
        self, groups: int, size: int, out: int, into_x: bool, into_mix: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        used = route_to_triton(monkeypatch)
        graph = random_graph(21)
        x = normal(21, groups * size).requires_grad_(into_x)
        mix = normal(groups, 7, size, out).requires_grad_(into_mix)
        inputs = [t for t in (x, mix) if t.requires_grad]
        grad = normal(21, groups * out)
        found = kernels.diff_conv(x, mix, *graph.forward, *graph.transposed)
        expected = diff_conv_reference(x, mix, *graph.forward)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        for a, b in zip(
            torch.autograd.grad(found, inputs, grad), torch.autograd.grad(expected, inputs, grad)
        ):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        assert used

    def test_registered_maps_and_maxima_take_the_kernels(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        used = route_to_triton(monkeypatch)
        x, residual = normal(21, 12).requires_grad_(), normal(21, 8).requires_grad_()
        weight, bias = normal(4, 2, 3).requires_grad_(), normal(8).requires_grad_()
        inputs, grad = [x, weight, bias, residual], normal(21, 8)
        found = kernels.grouped_pointwise(*inputs)
        expected = kernels.grouped_pointwise_reference(*inputs)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        for a, b in zip(
            torch.autograd.grad(found, inputs, grad), torch.autograd.grad(expected, inputs, grad)
        ):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        assert len(used) >= 3

        rowptr, col, _ = random_graph(21).forward
        best, who = kernels.neighbor_max(x, rowptr, col)
        (given,) = torch.autograd.grad(best.sum(), x)
        has = who >= 0
        torch.testing.assert_close(best[has], x.gather(0, who.clamp_min(0).long())[has])
        assert given.sum().item() == pytest.approx(has.sum().item())

    def test_only_tensors_on_a_gpu_of_known_types_are_taken(self) -> None:
        assert dispatch.backend_for(torch.ones(1)) != "gpu"
        if DEVICE == "cuda":
            for dtype in (torch.float32, *HALF):
                assert dispatch.backend_for(normal(1, dtype=dtype)) == "gpu"
            assert dispatch.backend_for(normal(1, dtype=torch.float64)) == "torch"


# Arguments that are 1, such as a stride, are constants to Triton, here as in a launch.
COMPILE = """
import sys
from importlib import import_module
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mgic_geo.kernels.gpu.blocks import choose_blocks

INTEGERS = {"rowptr", "col", "who"}
FLOATS = {"weight", "partial", "out"}
FEATURES = {"x", "y", "f", "mix", "grad", "grad_x", "best"}

def build(module, name, constants, features):
    kernel = getattr(import_module(f"mgic_geo.kernels.{module}"), name)
    configs = getattr(kernel, "configs", [triton.Config({})])
    while not isinstance(kernel, triton.JITFunction):
        kernel = kernel.fn
    for config in configs:
        chosen = {**constants, **config.kwargs}
        types = {}
        for n in kernel.arg_names:
            types[n] = (
                "constexpr" if n in chosen else "*i32" if n in INTEGERS else "*fp32" if n in FLOATS
                else "*" + features if n in FEATURES else "i32"
            )
        triton.compile(
            ASTSource(kernel, signature=types, constexprs=chosen),
            target=GPUTarget("cuda", int(sys.argv[1]), 32),
            options={"num_warps": config.num_warps},
        )

features = sys.argv[2]
precision = "ieee" if features == "fp32" else "tf32"
build("neighbor_max.gpu", "_forward", {"NODES": 16, "LANES": 64}, features)
build("neighbor_max.gpu", "_backward", {"NODES": 16, "LANES": 64}, features)
build("gpu.derive", "_derive", {"NODES": 32, "LANES": 32, "channels": 1}, features)
for groups, size, out, derive in (
    (64, 8, 8, True), (3, 17, 17, True), (1, 64, 64, True), (64, 8, 4, False)
):
    common = {"SIZE": size, "OUT": out, "DERIVE": derive, "PRECISION": precision}
    common |= {"stride_out": 1} | ({"groups": 1} if groups == 1 else {})
    b = choose_blocks(groups, size, out, 128)
    tile = {"SPAN": b.groups, "INPUTS": b.inputs, "OUTPUTS": b.outputs}
    build("gpu.mix_forward", "mix_forward", common | tile, features)
    b = choose_blocks(groups, size, out, 32)
    tile = {"SPAN": b.groups, "INPUTS": b.inputs, "OUTPUTS": b.outputs, "GRAD_X": b.whole}
    build("gpu.mix_backward", "mix_backward", common | tile | {"NODES": 32}, features)
"""


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(("capability", "features"), [("90", "fp32"), ("80", "bf16")])
def test_kernels_compile_for_gpus_that_need_not_be_there(
    capability: str, features: str, tmp_path: Path
) -> None:
    """What an interpreter never sees: types, layouts, shared memory."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, capability, features],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
