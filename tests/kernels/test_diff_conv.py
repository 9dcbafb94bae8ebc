from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from mgic_geo.graph import differential_operators, knn_graph
from mgic_geo.kernels import derive, diff_conv, diff_conv_reference, dispatch
from mgic_geo.kernels.diff_conv import diff_conv_backward
from mgic_geo.models import create_model
from mgic_geo.testing import random_clouds, randomize_norms

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
# nodes, channels in and out, groups: square groups up to 16 are mixed along diagonals, others not
SHAPES = [
    (1, 3, 64, 1),
    (63, 3, 5, 1),
    (65, 8, 8, 1),
    (130, 64, 64, 8),
    (130, 64, 64, 4),
    (100, 64, 64, 2),
    (64, 32, 32, 32),
    (7, 34, 34, 2),
    (33, 24, 24, 3),
    (50, 16, 32, 4),
    (50, 32, 16, 4),
    (200, 48, 48, 1),
]


def operators(nodes: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """A graph where every fifth node is isolated, and with it its first neighbours' columns."""
    pos, batch = random_clouds(1, nodes, dtype=dtype)
    if nodes < 3:
        return differential_operators(pos, torch.empty(2, 0, dtype=torch.long))
    edge_index = knn_graph(pos, min(6, nodes - 1), batch)
    return differential_operators(pos, edge_index[:, edge_index[1] % 5 != 0])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("nodes", "channels", "out", "groups"), SHAPES)
def test_compiled_kernels_equal_plain_torch(
    nodes: int, channels: int, out: int, groups: int, dtype: torch.dtype
) -> None:
    graph = operators(nodes, dtype)
    x = torch.randn(nodes, channels, dtype=dtype, requires_grad=True)
    mix = torch.randn(groups, 7, channels // groups, out // groups, dtype=dtype, requires_grad=True)
    weight = torch.randn(nodes, out, dtype=dtype)
    found, expected = diff_conv(x, mix, *graph), diff_conv_reference(x, mix, *graph[:3])
    tolerance = TOLERANCE[dtype] * (7 * channels // groups)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=tolerance)
    for a, b in zip(
        torch.autograd.grad((found * weight).sum(), [x, mix]),
        torch.autograd.grad((expected * weight).sum(), [x, mix]),
    ):
        torch.testing.assert_close(a, b, rtol=TOLERANCE[dtype], atol=10 * tolerance)


@pytest.mark.parametrize("nodes", [0, 1, 5])
def test_graphs_without_edges_leave_the_features(nodes: int) -> None:
    graph = differential_operators(torch.rand(nodes, 3), torch.empty(2, 0, dtype=torch.long))
    x = torch.randn(nodes, 8)
    mix = torch.randn(2, 7, 4, 4)
    torch.testing.assert_close(
        diff_conv(x, mix, *graph),
        torch.einsum("ngc,gco->ngo", x.view(-1, 2, 4), mix[:, 0]).flatten(1),
    )


@pytest.mark.parametrize(("groups", "out"), [(2, 4), (1, 6), (2, 2)])
def test_first_and_second_gradients(groups: int, out: int) -> None:
    graph = operators(6, torch.float64)
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    mix = torch.randn(
        groups, 7, 4 // groups, out // groups, dtype=torch.float64, requires_grad=True
    )
    assert torch.autograd.gradcheck(lambda x, m: diff_conv(x, m, *graph), (x, mix))
    assert torch.autograd.gradgradcheck(lambda x, m: diff_conv(x, m, *graph), (x, mix))


def test_registration_is_sound() -> None:
    graph = operators(9, torch.float64)
    x = torch.randn(9, 4, dtype=torch.float64, requires_grad=True)
    mix = torch.randn(2, 7, 2, 3, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(diff_conv.op, (x, mix, *graph))
    grad = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(diff_conv_backward.op, (grad, x, mix, *graph, True, True))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(("groups", "out"), [(4, 16), (1, 8)])
def test_nan_and_infinity_stay_visible(value: float, groups: int, out: int) -> None:
    graph = operators(70, torch.float32)
    x = torch.randn(70, 16)
    x[33, 5] = value
    mix = torch.randn(groups, 7, 16 // groups, out // groups)
    shown = ~diff_conv(x, mix, *graph).isfinite()
    expected = ~diff_conv_reference(x, mix, *graph[:3]).isfinite()
    assert expected.any()
    assert (shown | ~expected).all()
    assert torch.equal(shown.any(dim=1), expected.any(dim=1))  # and in no other node


@pytest.mark.parametrize("size", [4, 16, 80])
def test_inputs_need_not_be_contiguous(size: int) -> None:
    graph = operators(30, torch.float32)
    x = torch.randn(2 * size, 30).T.requires_grad_()
    mix = torch.randn(2, 7, size, size).transpose(2, 3).requires_grad_()
    found, expected = diff_conv(x, mix, *graph), diff_conv_reference(x, mix, *graph[:3])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    grad = torch.randn(2 * size, 30).T
    for a, b in zip(
        torch.autograd.grad(found, [x, mix], grad), torch.autograd.grad(expected, [x, mix], grad)
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_derive_stacks_features_and_sums_over_neighbors() -> None:
    rowptr = torch.tensor([0, 2, 2, 3], dtype=torch.int32)
    col = torch.tensor([1, 2, 0], dtype=torch.int32)
    weight = torch.tensor([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    x = torch.tensor([[1.0], [10.0], [100.0]])
    found = derive(x, rowptr, col, weight).squeeze(-1)
    assert found.tolist() == [
        [1.0, 310.0, 20.0, 0.0],
        [10.0, 0.0, 0.0, 0.0],
        [100.0, 0.0, 0.0, 5.0],
    ]


@pytest.mark.parametrize("name", ["mgic_diffgcn", "mgic_edgeconv"])
def test_models_are_the_same_without_compiled_kernels(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pos, batch = random_clouds(2, 40, dtype=torch.float64)
    model = randomize_norms(create_model(name, width=32, num_classes=2).double())
    results = []
    for _ in range(2):
        logits = model.train()(pos, batch)
        gradients = torch.autograd.grad(logits[0, 0], list(model.parameters()), allow_unused=True)
        results.append([logits, *(g for g in gradients if g is not None)])
        monkeypatch.setattr(dispatch, "COMPILED", False)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_the_environment_switches_compiled_kernels_off() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import mgic_geo.kernels as k; print(k.kernel_backend())"],
        env={**os.environ, "MGIC_GEO_KERNELS": "torch"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.returncode) == ("torch\n", 0), done.stderr


def test_positions_may_be_learned() -> None:
    """The derivatives depend on them, and so does what is mixed from these."""
    pos, batch = random_clouds(1, 12, dtype=torch.float64)
    edge_index = knn_graph(pos, 4, batch)
    x = torch.randn(12, 4, dtype=torch.float64, requires_grad=True)
    mix = torch.randn(2, 7, 2, 3, dtype=torch.float64, requires_grad=True)

    def run(pos: Tensor, x: Tensor, mix: Tensor) -> Tensor:
        return diff_conv(x, mix, *differential_operators(pos, edge_index))

    assert torch.autograd.gradcheck(run, (pos.requires_grad_(), x, mix))
    assert torch.autograd.gradgradcheck(run, (pos, x, mix), fast_mode=True)
