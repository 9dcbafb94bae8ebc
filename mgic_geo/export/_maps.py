"""Grouped maps of node features as products that engines run well."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mgic_geo.nn import BatchNorm, GroupedPointwise

# Weights up to which one product of all channels beats one a group: the groups have to be gathered
# from the rows and put back, which costs two visits to the features.
_DENSE = 2**16
# Outputs of a block that is not dense: a group of 8 would fill half of a vector.
_BLOCK = 32


class GroupedMap(nn.Module):
    r"""A block-diagonal map of nodes, :math:`[N, T, C] \to [N, C']`, with constant weights.

    The blocks hold several groups each, as zeros beside each other, or all of them; what is faster
    follows from the number of weights alone.

    Args:
        weight: ``[groups, C' / groups, T, C / groups]``.
        bias: ``[C']``.
    """

    weight: Tensor
    bias: Tensor | None

    @torch.no_grad()
    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        groups, out, terms, size = weight.shape
        merged = groups
        if groups * out * groups * size * terms > _DENSE:
            merged = 1
            while groups % (2 * merged) == 0 and merged * out < _BLOCK:
                merged *= 2
        self.blocks = groups // merged
        self.out_channels = groups * out
        # [blocks, merged, out, T, size] -> each group on the diagonal of its block
        own = weight.detach().view(self.blocks, merged, out, terms, size)
        block = own.new_zeros(self.blocks, merged, out, terms, merged, size)
        for i in range(merged):
            block[:, i, :, :, i] = own[:, i]
        block = block.reshape(self.blocks, merged * out, terms * merged * size)
        self.register_buffer("weight", block.transpose(1, 2).contiguous().squeeze(0))
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    @classmethod
    def of(cls, layer: GroupedPointwise, norm: nn.Module | None = None) -> GroupedMap:
        """A pointwise map, and the batch norm after it."""
        weight: Tensor = layer.weight
        bias: Tensor | None = layer.bias
        if isinstance(norm, BatchNorm):
            scale, bias = norm.scale_and_shift(bias)
            weight = weight * scale.view(weight.size(0), -1, 1)
        return cls(weight.unsqueeze(2), bias)

    def forward(self, x: Tensor) -> Tensor:
        """Of rows ``[N, C]``, or of ``[N, T, C]``."""
        if self.blocks == 1:
            y = (x if x.dim() == 2 else x.flatten(1)) @ self.weight
        else:
            # [N, T, C] -> [blocks, N, T * C / blocks] and back
            parts = x.unflatten(-1, (self.blocks, -1))
            parts = parts.movedim(-2, 0).flatten(2)
            y = torch.bmm(parts, self.weight).transpose(0, 1).reshape(-1, self.out_channels)
        return y if self.bias is None else y + self.bias

    def correct(self, fine: Tensor, delta: Tensor, norm: nn.Module) -> Tensor:
        """As :meth:`mgic_geo.nn.Prolongation.correct`, with the norm folded in."""
        return fine + self(delta)
