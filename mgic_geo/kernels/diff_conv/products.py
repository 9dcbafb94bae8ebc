"""Derivatives of some nodes after the other, and matrix products: what large groups win by."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mgic_geo.kernels.diff_conv.reference import derive, mix_terms, moments
from mgic_geo.kernels.dispatch import backend_for

# Larger groups than this win back more by matrix products than their traffic costs.
LARGEST_GROUP = 64
# Derivatives held at once: 4 MiB in float32, or those of so many nodes that the products read the
# weights seldom.
_CHUNK = 2**20
_FEWEST_NODES = 1024

Graph = tuple[Tensor, Tensor, Tensor]


def forward(x: Tensor, mix: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor) -> Tensor:
    """The mixed features and derivatives."""
    y = x.new_empty(x.size(0), mix.size(0) * mix.size(3))
    for rows, f in _derivatives(x, rowptr, col, weight):
        y[rows] = mix_terms(f, mix)
    return y


def backward(
    grad: Tensor,
    x: Tensor,
    mix: Tensor,
    graph: Graph,
    transposed: Graph,
    into_x: bool,
    into_mix: bool,
) -> tuple[Tensor, Tensor]:
    """The gradients of ``x`` and ``mix``, empty if not asked."""
    groups, _, size, out = mix.shape
    none = x.new_empty(0)
    grad_x = x.new_empty(x.shape) if into_x else none
    grad_mix = torch.zeros_like(mix) if into_mix else none
    if not into_x and size <= out:  # then the derivatives of x are the smaller ones
        for rows, f in _derivatives(x, *graph):
            grad_mix += moments(f, grad[rows], groups)
        return grad_x, grad_mix
    back = mix.transpose(2, 3).contiguous()
    sums = torch.zeros_like(back) if into_mix else none
    for rows, u in _derivatives(grad, *transposed):
        if into_x:
            grad_x[rows] = mix_terms(u, back)
        if into_mix:
            sums += moments(u, x[rows], groups)
    if into_mix:
        grad_mix = sums.transpose(2, 3).contiguous()
    return grad_x, grad_mix


def _derivatives(
    x: Tensor, rowptr: Tensor, col: Tensor, weight: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """:func:`derive` for some nodes after the other, so that the result stays in the cache."""
    x, weight, backend = x.contiguous(), weight.to(x.dtype).contiguous(), backend_for(x)
    if backend == "gpu" and weight.size(1) == 6:
        from mgic_geo.kernels.diff_conv import gpu

        yield slice(None), gpu.derive(x, rowptr, col, weight)
    elif backend != "cpu":
        yield slice(None), derive(x, rowptr, col, weight)
    else:
        from mgic_geo.kernels.diff_conv import derive_cpu

        step = max(_CHUNK // max(x.size(1) * (weight.size(1) + 1), 1), _FEWEST_NODES)
        for start in range(0, x.size(0), step):
            rows = slice(start, min(start + step, x.size(0)))
            yield rows, derive_cpu.derive(x, rowptr, col, weight, rows.start, rows.stop)
