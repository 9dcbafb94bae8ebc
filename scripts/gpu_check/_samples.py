"""Inputs of the operators, their exact results, and how far from those a result may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mgic_geo.kernels.rows import row_pointers

from ._check import SEED

_MOST_NEIGHBORS = 20
Function = Callable[[Tensor, Tensor], Tensor]
Graph = tuple[Tensor, Tensor, Tensor]


class Shape(NamedTuple):
    """Nodes, groups, and the channels of a group in and out."""

    nodes: int
    groups: int
    size: int
    out: int


class Sample(NamedTuple):
    """Features, weights and an upstream gradient of one type, a graph and its transpose."""

    x: Tensor
    mix: Tensor
    grad: Tensor
    graph: Graph
    transposed: Graph


class Result(NamedTuple):
    """What was found, what float64 gives, and the sum of the magnitudes of what was summed up.

    Without magnitudes every entry has to be right exactly.
    """

    name: str
    found: Tensor
    expected: Tensor
    magnitude: Tensor | None = None

    def error(self) -> float:
        """The largest error over the magnitude, or the number of wrong entries."""
        if self.found.shape != self.expected.shape:
            raise ValueError(
                f"{self.name} has shape {list(self.found.shape)}, not {list(self.expected.shape)}"
            )
        off = (self.found.double() - self.expected).abs()
        if self.magnitude is None:
            return float((off != 0).sum())
        error = off / self.magnitude.clamp_min(1e-30)
        return float(error.max()) if error.numel() else 0.0  # NaN is the largest

    def limit(self, roundings: float) -> float:
        """So many roundings of the result's type."""
        return 0.0 if self.magnitude is None else roundings * torch.finfo(self.found.dtype).eps


def make_sample(shape: Shape, dtype: torch.dtype, device: str) -> Sample:
    """Random; nodes have up to 20 neighbours, some none, and node 0 is a neighbour of many."""
    nodes, groups, size, out = shape
    generator = torch.Generator().manual_seed(SEED)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=generator).to(device, dtype)

    def draw(below: int, count: int) -> Tensor:
        return torch.randint(below, (count,), generator=generator)

    degree = draw(_MOST_NEIGHBORS, nodes)
    target = torch.repeat_interleave(torch.arange(nodes), degree)
    source = draw(nodes, len(target))
    source[::9] = 0
    weight = torch.randn(len(target), 6, generator=generator)
    order = torch.argsort(source, stable=True)

    def graph(row: Tensor, col: Tensor, weight: Tensor) -> Graph:
        return row_pointers(row, nodes).to(device), col.int().to(device), weight.to(device)

    return Sample(
        normal(nodes, groups * size),
        normal(groups, 7, size, out),
        normal(nodes, groups * out),
        graph(target, source, weight),
        graph(source[order], target[order], weight[order]),
    )


def exact(function: Function, a: Tensor, b: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The value and the gradients of ``a`` and ``b`` in float64."""
    a, b = (t.detach().double().requires_grad_() for t in (a, b))
    value = function(a, b)
    of_a, of_b = torch.autograd.grad(value, [a, b], grad.double())
    return value.detach(), of_a, of_b


def magnitudes(
    function: Function, a: Tensor, b: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`exact` of a function whose constants are positive, on magnitudes."""
    return exact(function, a.abs(), b.abs(), grad.abs())
