"""Launches the mixing kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mgic_geo.kernels.gpu.blocks import Blocks, choose_blocks
from mgic_geo.kernels.gpu.language import precision
from mgic_geo.kernels.gpu.mix_backward import mix_backward
from mgic_geo.kernels.gpu.mix_forward import mix_forward

Graph = tuple[Tensor, Tensor, Tensor] | None
_WIDEST = 128  # output lanes: the wider, the less often a large group is gathered again
_WIDEST_GRAD = 32  # seven tiles of it and their sums must fit into registers
_NODES = 32  # of a step of the backward kernel; fixed, so that sums keep their order
_PROGRAMS = 1024  # of the backward kernel: fills a large GPU, and bounds the partial sums


def forward(x: Tensor, mix: Tensor, graph: Graph) -> Tensor:
    """``diff_conv`` with a graph, the grouped map ``mix[:, 0]`` without one."""
    groups, _, size, out = mix.shape
    x = x.contiguous()
    y = x.new_empty(x.size(0), groups * out)
    blocks = choose_blocks(groups, size, out, _WIDEST)
    tiles = blocks.bands * blocks.output_tiles

    def grid(meta: dict[str, Any]) -> tuple[int]:
        return (-(-x.size(0) // meta["NODES"]) * tiles,)

    if y.numel():
        with torch.cuda.device_of(x):
            mix_forward[grid](
                y, x, mix, *_pointers(graph, x), x.size(0), groups, *mix.stride(),
                SIZE=size, OUT=out, DERIVE=graph is not None, SPAN=blocks.groups,
                INPUTS=blocks.inputs, OUTPUTS=blocks.outputs, PRECISION=precision(x),
            )  # fmt: skip
    return y


def backward(grad: Tensor, x: Tensor, mix: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
    """The gradients of ``x`` and ``mix``; ``graph`` is the transposed one."""
    blocks = choose_blocks(mix.size(0), mix.size(2), mix.size(3), _WIDEST_GRAD)
    if blocks.whole:
        grad_x = torch.empty_like(x, memory_format=torch.contiguous_format)
        return grad_x, _sum_products(grad_x, grad, x, mix, graph, blocks)
    # Many tiles share an input channel: each would have to add to its gradient.
    grad_x = forward(grad, mix.transpose(2, 3), graph)
    return grad_x, _sum_products(None, grad, x, mix, graph, blocks)


def weight_gradient(grad: Tensor, x: Tensor, mix: Tensor, graph: Graph) -> Tensor:
    """The gradient of ``mix`` alone, of which only shape and type count."""
    blocks = choose_blocks(mix.size(0), mix.size(2), mix.size(3), _WIDEST_GRAD)
    return _sum_products(None, grad, x, mix, graph, blocks)


def _sum_products(
    grad_x: Tensor | None, grad: Tensor, x: Tensor, mix: Tensor, graph: Graph, blocks: Blocks
) -> Tensor:
    groups, terms, size, out = mix.shape
    nodes = x.size(0)
    if not nodes:
        return torch.zeros_like(mix)
    x, grad = x.contiguous(), grad.contiguous()
    tiles = blocks.bands * blocks.input_tiles * blocks.output_tiles
    programs = min(-(-nodes // _NODES), max(1, _PROGRAMS // tiles))
    partial = x.new_empty(programs, groups, terms, size, out, dtype=torch.float32)
    with torch.cuda.device_of(x):
        mix_backward[(tiles, programs)](
            grad if grad_x is None else grad_x, partial, grad, x, mix, *_pointers(graph, x), nodes,
            groups, *mix.stride(), SIZE=size, OUT=out, DERIVE=graph is not None,
            GRAD_X=grad_x is not None, SPAN=blocks.groups, INPUTS=blocks.inputs,
            OUTPUTS=blocks.outputs, PRECISION=precision(x), NODES=_NODES,
        )  # fmt: skip
    return partial.sum(0).to(mix.dtype)


def _pointers(graph: Graph, x: Tensor) -> tuple[Tensor, ...]:
    """The graph, or tensors that are never read in its place."""
    return (x, x, x) if graph is None else tuple(t.contiguous() for t in graph)
