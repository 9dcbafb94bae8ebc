"""Maximum over neighbours without a tensor of edges."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mgic_geo.kernels._dispatch import arrays, compiled_for, triton_for


@torch.library.custom_op("mgic_geo::neighbor_max", mutates_args=())
def neighbor_max(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    r"""Largest feature among a node's neighbours, :math:`m_{i,c} = \max_{j \in N(i)} x_{j,c}`.

    Args:
        x: Features ``[N, C]``.
        rowptr: First edge of each node, int32 ``[N + 1]``.
        col: Neighbour of each edge, int32 ``[E]``.

    Returns:
        The maxima ``[N, C]`` (0 where a node has no neighbour) and the neighbours that have them,
        int32 ``[N, C]`` (-1 for none; the first among equals). A gradient goes to those alone.
    """
    if (compiled := compiled_for(x)) is not None:
        best, who = compiled.neighbor_max(*arrays(x, rowptr, col))
        return torch.from_numpy(best), torch.from_numpy(who)
    if (gpu := triton_for(x)) is not None:
        found: tuple[Tensor, Tensor] = gpu.neighbor_max_forward(x, rowptr, col)
        return found
    degree = rowptr.diff().long()
    count, edges = degree.numel(), col.numel()
    target = torch.repeat_interleave(
        torch.arange(count, device=x.device), degree, output_size=edges
    )
    target = target.unsqueeze(-1).expand(-1, x.size(1))
    values = x[col.long()]
    best = x.new_zeros(count, x.size(1))
    best = best.scatter_reduce(0, target, values, "amax", include_self=False)
    place = torch.arange(edges, device=x.device).unsqueeze(-1).expand_as(values)
    place = place.masked_fill(values < best.gather(0, target), edges)
    first = place.new_full(best.shape, edges).scatter_reduce(0, target, place, "amin")
    none = torch.cat([col, col.new_full((1,), -1)])
    return best, none[first].int()


@torch.library.custom_op("mgic_geo::neighbor_max_grad", mutates_args=())
def _neighbor_max_grad(grad: Tensor, who: Tensor, nodes: int) -> Tensor:
    if (compiled := compiled_for(grad)) is not None:
        args = arrays(grad, who)
        return torch.from_numpy(compiled.neighbor_max_grad(*args, nodes, torch.get_num_threads()))
    if (gpu := triton_for(grad)) is not None:
        given: Tensor = gpu.neighbor_max_backward(grad, who, nodes)
        return given
    out = grad.new_zeros(nodes + 1, grad.size(1))
    slots = torch.where(who < 0, nodes, who).long()
    return out.scatter_add(0, slots, grad)[:nodes].contiguous()


@neighbor_max.register_fake
def _(x: Tensor, rowptr: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    best = x.new_empty(rowptr.size(0) - 1, x.size(1))
    return best, torch.empty_like(best, dtype=torch.int32)


@_neighbor_max_grad.register_fake
def _(grad: Tensor, who: Tensor, nodes: int) -> Tensor:
    return grad.new_empty(nodes, grad.size(1))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.nodes = inputs[0].size(0)
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    (who,) = ctx.saved_tensors
    return _neighbor_max_grad(grad, who, ctx.nodes), None, None


neighbor_max.register_autograd(_backward, setup_context=_setup)
