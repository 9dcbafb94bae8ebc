"""Triton's kernels against their plain twins in float64, in value and gradients."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

from mgic_geo.kernels.diff_conv import diff_conv_reference
from mgic_geo.kernels.diff_conv import gpu as diff_conv
from mgic_geo.kernels.diff_conv.reference import derive
from mgic_geo.kernels.neighbor_max import gpu as neighbor_max
from mgic_geo.kernels.neighbor_max.reference import (
    neighbor_max_grad_reference,
    neighbor_max_reference,
)
from mgic_geo.kernels.pointwise import gpu as pointwise
from mgic_geo.kernels.pointwise import grouped_pointwise_reference
from scripts.benchmarks._bench import failure

from ._check import Check
from ._samples import Result, Sample, Shape, exact, magnitudes, make_sample

# Sums are taken in float32 and rounded once; weights of derivatives are rounded on their way in.
ROUNDINGS = 4.0
HALF = (torch.float16, torch.bfloat16)
# Small, even and odd groups, one that is cut into tiles, and a stem, in float32; then in all types.
FLOAT_SHAPES = (Shape(2999, 16, 4, 4), Shape(2999, 3, 17, 5), Shape(2999, 1, 3, 64))
SHAPES = (
    Shape(3001, 8, 8, 8),
    Shape(3001, 4, 16, 16),
    Shape(3001, 2, 32, 32),
    Shape(3001, 1, 64, 64),
)
# Triton's interpreter runs a kernel program by program in Python.
TINY_FLOAT = (Shape(10, 3, 17, 5), Shape(9, 1, 40, 33))
TINY = (Shape(37, 3, 8, 8),)
TINIEST = (Shape(9, 2, 8, 8),)


class Outcome(NamedTuple):
    """How far one result of a kernel was from its twin's."""

    kernel: str
    result: str
    dtype: str
    shape: Shape
    error: float
    limit: float
    note: str = ""

    def __str__(self) -> str:
        found = self.note or f"difference {self.error:.1e}, at most {self.limit:.1e}"
        verdict = "" if self.error <= self.limit else ": WRONG"
        shape = " ".join(f"{name} {value}" for name, value in self.shape._asdict().items())
        name = f"{self.kernel}: {self.result}, {self.dtype}"
        return f"{name:<52} {shape:<40} {found}{verdict}"


def run(check: Check) -> None:
    small = check.quick or check.device == "cpu"  # where an interpreter runs them
    for shape, dtypes in plan_of(tiny=small, tiniest=check.quick):
        for outcome in outcomes(shape, dtypes, check.device):
            check.judge(
                outcome.error,
                outcome.limit,
                family="parity",
                case=f"{outcome.kernel}: {outcome.result}",
                peer=f"triton, {outcome.dtype}",
                width=shape.groups * shape.size,
                nodes=shape.nodes,
                group_size=shape.size,
                note=outcome.note or f"{shape.size} to {shape.out} channels a group",
            )


def plan_of(tiny: bool, tiniest: bool = False) -> list[tuple[Shape, Sequence[torch.dtype]]]:
    """The shapes, and the types that each is tried in."""
    alone: Sequence[Shape]
    all_types: Sequence[Shape]
    alone, all_types = (TINY_FLOAT, TINY) if tiny else (FLOAT_SHAPES, SHAPES)
    if tiniest:
        alone, all_types = (), TINIEST
    types = (torch.float32, *HALF)
    return [*((shape, types[:1]) for shape in alone), *((shape, types) for shape in all_types)]


def outcomes(shape: Shape, dtypes: Sequence[torch.dtype], device: str) -> Iterator[Outcome]:
    """Every result of every kernel; one that raises has the error NaN, and a note."""
    for dtype in dtypes:
        sample = make_sample(shape, dtype, device)
        for kernel, results in KERNELS.items():
            name = str(dtype).removeprefix("torch.")
            try:
                for result in results(sample):
                    error, limit = result.error(), result.limit(ROUNDINGS)
                    yield Outcome(kernel, result.name, name, shape, error, limit)
            except Exception as error:  # the next kernel may work
                yield Outcome(kernel, "all", name, shape, float("nan"), 0.0, failure(error))


def _pointwise(s: Sample) -> Iterator[Result]:
    weight = s.mix[:, 0].transpose(1, 2)  # with strides of its own
    found = (
        pointwise.grouped_pointwise_forward(s.x, weight),
        *pointwise.grouped_pointwise_backward(s.grad, s.x, weight),
    )
    expected = exact(grouped_pointwise_reference, s.x, weight, s.grad)
    sums = magnitudes(grouped_pointwise_reference, s.x, weight, s.grad)
    names = ("value", "gradient of x", "gradient of weight")
    yield from map(Result, names, found, expected, sums)
    alone = pointwise.grouped_pointwise_weight_grad(s.grad, s.x, weight.size(0))
    yield Result("gradient of weight alone", alone, expected[2], sums[2])


def _diff_conv(s: Sample) -> Iterator[Result]:
    rowptr, col, weight = s.graph
    found = (
        diff_conv.diff_conv_forward(s.x, s.mix, *s.graph),
        *diff_conv.diff_conv_backward(s.grad, s.x, s.mix, *s.transposed),
    )
    expected = exact(lambda x, m: diff_conv_reference(x, m, *s.graph), s.x, s.mix, s.grad)
    sums = magnitudes(
        lambda x, m: diff_conv_reference(x, m, rowptr, col, weight.abs()), s.x, s.mix, s.grad
    )
    names = ("value", "gradient of x", "gradient of mix")
    yield from map(Result, names, found, expected, sums)
    alone = diff_conv.diff_conv_forward(s.grad, s.mix.transpose(2, 3), *s.transposed)
    yield Result("gradient of x alone", alone, expected[1], sums[1])
    alone = diff_conv.diff_conv_grad_mix(s.grad, s.x, s.mix.size(0), *s.transposed)
    yield Result("gradient of mix alone", alone, expected[2], sums[2])


def _derive(s: Sample) -> Iterator[Result]:
    """Of the gradient in the transposed graph, too: what backward passes of large groups take."""
    for name, x, graph in (("value", s.x, s.graph), ("transposed", s.grad, s.transposed)):
        rowptr, col, weight = graph
        expected = derive(x.double(), *graph)
        sums = derive(x.double().abs(), rowptr, col, weight.abs())
        yield Result(name, diff_conv.derive(x, *graph), expected, sums)


def _neighbor_max(s: Sample) -> Iterator[Result]:
    graph, nodes = s.graph[:2], s.x.size(0)
    best, who = neighbor_max.neighbor_max_forward(s.x, *graph)
    expected = neighbor_max_reference(s.x.double(), *graph)
    yield Result("value", best, expected[0])
    yield Result("whose", who, expected[1].double())
    grad = torch.randn(who.shape, generator=torch.Generator().manual_seed(1)).to(s.x)
    given = neighbor_max_grad_reference(grad.double(), who, nodes)
    sums = neighbor_max_grad_reference(grad.double().abs(), who, nodes)
    before = torch.are_deterministic_algorithms_enabled()
    for name, fixed in (("gradient of x", False), ("gradient of x, deterministic", True)):
        torch.use_deterministic_algorithms(fixed)
        try:
            found = neighbor_max.neighbor_max_backward(grad, who, nodes)
        finally:
            torch.use_deterministic_algorithms(before)
        yield Result(name, found, given, sums)


KERNELS: dict[str, Callable[[Sample], Iterator[Result]]] = {
    "pointwise": _pointwise,
    "diff_conv": _diff_conv,
    "derive": _derive,
    "neighbor_max": _neighbor_max,
}


def main(quick: bool) -> int:
    """Prints what the interpreter finds; 1 if a kernel is wrong."""
    if os.environ.get("TRITON_INTERPRET") != "1":
        print("set TRITON_INTERPRET=1: Triton decides when it is imported", file=sys.stderr)
        return 2
    wrong = 0
    found: dict[str, list[Outcome]] = {}
    for shape, dtypes in plan_of(tiny=True, tiniest=quick):
        for outcome in outcomes(shape, dtypes, "cpu"):
            found.setdefault(f"{outcome.kernel}, {outcome.dtype}", []).append(outcome)
            if not outcome.error <= outcome.limit:
                wrong += 1
                print(outcome, flush=True)
    for name, group in found.items():
        worst = max(group, key=lambda o: o.error / o.limit if o.limit else o.error)
        print(f"{name:<24} {len(group):>3} results, the farthest: {worst.result} {worst.error:.1e}")
    print(f"{sum(map(len, found.values()))} results of interpreted kernels, {wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main("--quick" in sys.argv[1:]))
