"""Damaged arguments end in words: loops of compiled code would read anywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mgic_geo import kernels
from mgic_geo.errors import DataError
from mgic_geo.graph import DifferentialOperators, Neighborhoods, differential_operators, knn_graph
from mgic_geo.kernels import dispatch


def graph(nodes: int = 20) -> DifferentialOperators:
    pos = torch.rand(nodes, 3, generator=torch.Generator().manual_seed(0))
    return differential_operators(pos, knn_graph(pos, 4))


def run_diff_conv(x: Tensor, mix: Tensor | None = None, **changed: Any) -> Tensor:
    operators = graph()._replace(**changed)
    mix = torch.randn(2, 7, 8, 8) if mix is None else mix
    return kernels.diff_conv(x, mix, *operators)


def shifted(t: Tensor, by: int) -> Tensor:
    t = t.clone()
    t[len(t) // 2] += by
    return t


X = torch.randn(20, 16)
MIX = torch.randn(2, 7, 8, 8)
BAD: list[tuple[str, type[Exception], str, Callable[[], Any]]] = [
    ("width", ValueError, r"x must be \[N, 16\], got \[20, 15\]", lambda: run_diff_conv(X[:, 1:])),
    ("nodes", ValueError, "x has 19 nodes, the graph has 20", lambda: run_diff_conv(X[1:])),
    ("dimensions", ValueError, r"x must be \[N, 16\]", lambda: run_diff_conv(X[None])),
    ("type", ValueError, "mix is torch.float32", lambda: run_diff_conv(X.double())),
    ("device", ValueError, "mix is .* on meta", lambda: kernels.diff_conv.__wrapped__(
        X, MIX.to("meta"), *graph())),
    ("mix terms", ValueError, "6 derivatives, mix is for 3", lambda: run_diff_conv(X, MIX[:, :4])),
    ("beyond", DataError, r"edge \d+ of the graph names node \d+ of 20", lambda: run_diff_conv(
        X, col=shifted(graph().col, 10**6))),
    ("below", DataError, r"edge \d+ of the graph names node -\d+", lambda: run_diff_conv(
        X, col=shifted(graph().col, -(10**6)))),
    ("rows", DataError, "the graph is damaged", lambda: run_diff_conv(
        X, rowptr=shifted(graph().rowptr, 10**6))),
    ("rows end", DataError, "the graph is damaged", lambda: run_diff_conv(
        X, col=graph().col[:-3], weight=graph().weight[:-3])),
    ("index type", ValueError, "col must be int32", lambda: run_diff_conv(
        X, col=graph().col.long())),
    ("weights", ValueError, r"weight must be \[100, T\]", lambda: run_diff_conv(
        X, weight=graph().weight[1:])),
    ("bias", ValueError, r"bias must be \[16\]", lambda: kernels.diff_conv(
        X, MIX, *graph(), torch.ones(3))),
    ("residual", ValueError, r"residual must be \[20, 16\]", lambda: kernels.diff_conv(
        X, MIX, *graph(), None, False, X[1:])),
    ("pointwise", ValueError, r"x must be \[N, 64\]", lambda: kernels.grouped_pointwise(
        X, torch.ones(8, 4, 8))),
    ("pointwise bias", ValueError, r"bias must be \[32\]", lambda: kernels.grouped_pointwise(
        torch.ones(3, 64), torch.ones(8, 4, 8), torch.ones(31))),
    ("norm", ValueError, r"y must be \[N, 8\]", lambda: kernels.norm_act(
        X, torch.ones(8), torch.ones(8), None, 1e-5, True)),
    ("norm bias", ValueError, r"bias must be \[16\]", lambda: kernels.norm_act(
        X, torch.ones(16), torch.ones(8), None, 1e-5, True)),
    ("norm residual", ValueError, r"residual must be \[20, 16\]", lambda: kernels.norm_act(
        X, torch.ones(16), torch.ones(16), X[1:], 1e-5, True)),
    ("correction", ValueError, r"fine must be \[20, 32\]", lambda: kernels.correction(
        X, X, torch.ones(2, 16, 8), torch.ones(32), torch.ones(32), 1e-5)),
    ("correction scale", ValueError, r"scale must be \[16\]", lambda: kernels.correction(
        X, X[:, :8], torch.ones(2, 8, 4), torch.ones(8), torch.ones(16), 1e-5)),
    ("maximum", DataError, "names node 20 of 20", lambda: kernels.neighbor_max(
        X, torch.tensor([0, 1]).int(), torch.tensor([20]).int())),
    ("derivatives", DataError, "names node 7 of 3", lambda: differential_operators(
        torch.rand(3, 3), Neighborhoods(
            torch.tensor([0, 1, 1, 1]).int(), torch.tensor([7]).int()))),
    ("edges", DataError, "names node 9, there are 3 nodes", lambda: kernels.group_edges(
        torch.tensor([[0, 9], [1, 2]]), 3)),
    ("edges' shape", ValueError, r"must be \[2, E\]", lambda: kernels.group_edges(
        torch.zeros(3, 2).long(), 3)),
    ("edges' type", ValueError, "int64 or int32", lambda: kernels.group_edges(
        torch.zeros(2, 2), 3)),
    ("points", ValueError, r"must be \[N, D\]", lambda: kernels.neighbor_table(
        torch.rand(9, 3), torch.rand(9, 2), 2)),
    ("radius", ValueError, "radius = -1.0", lambda: kernels.neighbor_table(
        X, X, 2, None, None, 1, -1.0)),
    ("clouds", ValueError, "20 points cannot be 3 clouds", lambda: kernels.neighbor_table(
        X, X, 2, None, None, 3)),
    ("batch", DataError, "not sorted", lambda: kernels.farthest_points(
        X, 2, 0, torch.tensor([1, 0] * 10))),
]  # fmt: skip


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("error", "message", "call"), [b[1:] for b in BAD], ids=[b[0] for b in BAD]
)
def test_damaged_arguments_are_named(
    error: type[Exception], message: str, call: Callable[[], Any], compiled: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if not compiled:
        monkeypatch.setattr(dispatch, "COMPILED", False)
        message = message.replace(r"edge \d+ of ", "").replace(r" node \d+ of 20", "")
        message = message.replace(r" node -\d+", "").replace("names node 20 of 20", "names nodes")
        message = message.replace("names node 7 of 3", "names nodes")
    with pytest.raises(error, match=message):
        call()


def test_damaged_graphs_of_the_whole_cycle_are_named() -> None:
    parameters = [torch.randn(2, 7, 8, 8), torch.ones(16), torch.ones(16)]
    operators = graph()
    bad = operators._replace(col=shifted(operators.col, 10**6))
    for found, match in ((bad, "names node"), (operators._replace(rowptr=bad.rowptr[1:]), "nodes")):
        with pytest.raises((DataError, ValueError), match=match):
            kernels.diff_cycle(X, parameters, *found, 1e-5)
    with pytest.raises(ValueError, match=r"scale must be \[16\]"):
        kernels.diff_cycle(X, [parameters[0], torch.ones(8), torch.ones(16)], *operators, 1e-5)
    with pytest.raises(ValueError, match=r"mix must be \[4, 7, 4, 4\]"):
        kernels.diff_cycle(X, [torch.randn(4, 7, 8, 8), *parameters[1:]], *operators, 1e-5)


def test_a_damaged_transpose_is_named_in_the_backward_pass() -> None:
    operators = graph()
    bad = operators._replace(col_t=shifted(operators.col_t, 10**6))
    x = X.clone().requires_grad_()
    with pytest.raises(DataError, match="names node"):
        kernels.diff_conv(x, MIX, *bad).sum().backward()


RANDOM = """
import sys, torch
from mgic_geo import kernels
from mgic_geo.errors import DataError
generator = torch.Generator().manual_seed(int(sys.argv[1]))
refused = 0
for trial in range(300):
    n, e = (int(torch.randint(0, 40, (), generator=generator)) for _ in range(2))
    rowptr = torch.randint(-3, 60, (n + 1,), generator=generator).int()
    if trial % 3:
        rowptr = rowptr.clamp(0, e).sort().values
        rowptr[0], rowptr[-1] = 0, e
    col = torch.randint(-2, n + 3, (e,), generator=generator).int()
    x, weight = torch.randn(n, 16), torch.randn(e, 6)
    for call in (
        lambda: kernels.neighbor_max(x, rowptr, col),
        lambda: kernels.diff_conv(x, torch.randn(2, 7, 8, 8), *(rowptr, col, weight) * 2),
        lambda: kernels.derivative_operators(torch.rand(n, 3), rowptr, col, "average"),
        lambda: kernels.group_edges(torch.stack([col, col.flip(0)]), n),
    ):
        try:
            call()
        except (DataError, ValueError):
            refused += 1
print(refused)
"""


def test_random_graphs_never_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", RANDOM, "0"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1000:]
    assert 300 < int(done.stdout) < 1200


def test_the_plain_route_checks_too() -> None:
    pos = torch.rand(5, 3)
    with kernels.plain_torch():
        for error, call in (
            (DataError, lambda: knn_graph(pos, 5, strict=True)),
            (DataError, lambda: knn_graph(pos * torch.nan, 2)),
            (DataError, lambda: kernels.farthest_points(pos, 6, 0)),
            (DataError, lambda: kernels.group_edges(torch.tensor([[9], [0]]), 3)),
            (DataError, lambda: differential_operators(0 * pos, knn_graph(pos, 2))),
            (ValueError, lambda: run_diff_conv(torch.randn(25, 16))),
            (ValueError, lambda: kernels.grouped_pointwise(
                X, torch.ones(2, 4, 8), None, torch.ones(8))),
        ):  # fmt: skip
            with pytest.raises(error):
                call()


# For every registered operator: sound arguments, of which one after the other is damaged.
GRAPH = [*graph()]
CENTER, SPREAD = torch.zeros(8), torch.ones(2, 4, 4)
ONES = torch.ones(16)
SOUND: dict[str, list[Any]] = {
    "grouped_pointwise": [X, torch.ones(2, 4, 8), torch.ones(8), torch.ones(20, 8)],
    "grouped_pointwise_weight_grad": [X, X, 2],
    "diff_conv": [X, MIX, *GRAPH, ONES, False, X],
    "diff_conv_backward": [X, X, MIX, *GRAPH, True, True],
    "neighbor_max": [X, *GRAPH[:2]],
    "neighbor_max_grad": [X, torch.zeros(20, 16).int(), 20],
    "norm_act": [X, ONES, ONES, X, 1e-3, True],
    "norm_act_backward": [X, X, ONES, ONES, ONES, ONES, 1e-3, True],
    "correction": [X, X[:, :8].clone(), torch.ones(2, 8, 4), ONES, ONES, 1e-3],
    "correction_backward": [
        X, X[:, :8].clone(), torch.ones(2, 8, 4), ONES, ONES, ONES, CENTER, SPREAD, 1e-3
    ],
    "derivative_operators": [torch.rand(20, 3), *GRAPH[:2], "average"],
    "group_edges": [torch.zeros(2, 5).long(), 20],
    "neighbor_table": [X[:, :3].clone(), X[:, :3].clone(), 3],
    "farthest_points": [X[:, :3].clone(), 3, 0],
}  # fmt: skip
FREE = {  # what these change is another sound call
    ("neighbor_table", "shorter"), ("neighbor_table", "double"), ("neighbor_table", "int32"),
    ("farthest_points", "shorter"), ("farthest_points", "double"), ("farthest_points", "int32"),
    ("farthest_points", "transposed"), ("group_edges", "shorter"),
    ("derivative_operators", "double"), ("neighbor_max", "double"), ("neighbor_max", "int32"),
    ("neighbor_max_grad", "double"), ("neighbor_max_grad", "int32"),
}  # fmt: skip
DAMAGE: dict[str, Callable[[Tensor], Tensor]] = {
    "shorter": lambda t: t[:-1],
    "one": lambda t: t.flatten()[:1],
    "transposed": lambda t: t.movedim(0, -1).contiguous(),
    "int32": lambda t: t.to(torch.int32) if t.is_floating_point() else t.float(),
    "double": lambda t: t.double() if t.is_floating_point() else t.to(torch.int16),
}


def test_every_operator_has_sound_arguments_here() -> None:
    names = {
        name.removeprefix("mgic_geo::")
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("mgic_geo::")
    }
    assert names - {"diff_cycle", "diff_cycle_backward"} == set(SOUND)  # lists: tested above


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", SOUND)
def test_each_damaged_argument_ends_in_words(name: str, damage: str) -> None:
    operator, args = getattr(torch.ops.mgic_geo, name), SOUND[name]
    operator(*args)
    for i, arg in enumerate(args):
        if not isinstance(arg, Tensor) or (name, damage) in FREE:
            continue
        broken = DAMAGE[damage](arg)
        if damage == "transposed" and broken.shape == arg.shape:
            continue
        # weights of derivatives are converted, and the transposed graph is for the backward pass
        if name.startswith("diff_conv") and damage == "double" and args[i].shape == (100, 6):
            continue
        if name == "diff_conv" and 5 <= i <= 7:
            continue
        if name == "diff_conv_backward" and 3 <= i <= 5:
            continue
        try:
            operator(*args[:i], broken, *args[i + 1 :])
        except (ValueError, DataError, RuntimeError, NotImplementedError):
            continue
        pytest.fail(f"argument {i}, {list(arg.shape)}, was taken as {broken.dtype} {broken.shape}")


def test_operators_are_pickled_and_copied_by_name() -> None:
    import copy
    import pickle

    for operator in (kernels.diff_conv, kernels.neighbor_table):
        assert pickle.loads(pickle.dumps(operator)) is operator
        assert copy.deepcopy(operator) is operator
