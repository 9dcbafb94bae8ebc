"""Grouped maps of node features in the form that an engine runs well."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mgic_geo.nn import BatchNorm, GroupedPointwise

# Weights up to which one product of all channels beats one a group: the groups have to be gathered
# from the rows and put back, which costs two visits to the features.
_DENSE = 2**16
# The same where the groups are those of a convolution, which needs no gathering.
_DENSE_CONV = 2**14
# Outputs of a block that is not dense: a group of 8 would fill half of a vector. Convolutions of
# fewer than 16 channels a group run outside of the engines' blocked and vectorised loops.
_BLOCK, _BLOCK_CONV = 32, 16


class GroupedMap(nn.Module):
    r"""A block-diagonal map of nodes, :math:`[N, T, C] \to [N, C']`, with constant weights.

    The blocks hold several groups each, as zeros beside each other, or all of them; what is faster
    follows from the number of weights alone. Several blocks are one batched product, or a
    convolution in groups whose filter covers the :math:`T` terms.

    Args:
        weight: ``[groups, C' / groups, T, C / groups]``.
        bias: ``[C']``.
        convolve: Use convolutions: faster in ONNX Runtime and OpenVINO, slower in XNNPACK and
            torch.
    """

    weight: Tensor
    bias: Tensor | None

    @torch.no_grad()
    def __init__(self, weight: Tensor, bias: Tensor | None, convolve: bool = False) -> None:
        super().__init__()
        groups, out, terms, size = weight.shape
        merged, least = 1, _BLOCK_CONV if convolve else _BLOCK
        while groups % (2 * merged) == 0 and merged * out < least:
            merged *= 2
        if groups * out * groups * size * terms <= (_DENSE_CONV if convolve else _DENSE):
            merged = groups
        self.blocks = groups // merged
        self.out_channels = groups * out
        self.convolve = convolve and self.blocks > 1
        # [blocks, merged, out, T, size] -> each group on the diagonal of its block
        own = weight.detach().view(self.blocks, merged, out, terms, size)
        block = own.new_zeros(self.blocks, merged, out, terms, merged, size)
        for i in range(merged):
            block[:, i, :, :, i] = own[:, i]
        if self.convolve:  # [C', C / blocks, 1, T]
            block = block.reshape(self.out_channels, terms, merged * size).transpose(1, 2)
            block = block.unsqueeze(2)
        elif self.blocks > 1:  # [blocks, T * C / blocks, C' / blocks]
            block = block.reshape(self.blocks, merged * out, -1).transpose(1, 2)
        else:  # [C', T * C]
            block = block.reshape(self.out_channels, -1)
        self.register_buffer("weight", block.contiguous())
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    @classmethod
    def of(
        cls, layer: GroupedPointwise, norm: nn.Module | None = None, convolve: bool = False
    ) -> GroupedMap:
        """A pointwise map, and the batch norm after it."""
        weight: Tensor = layer.weight
        bias: Tensor | None = layer.bias
        if isinstance(norm, BatchNorm):
            scale, bias = norm.scale_and_shift(bias)
            weight = weight * scale.view(weight.size(0), -1, 1)
        return cls(weight.unsqueeze(2), bias, convolve)

    def forward(self, x: Tensor) -> Tensor:
        """Of rows ``[N, C]``, or of ``[N, T, C]``."""
        if self.blocks == 1:
            return F.linear(x if x.dim() == 2 else x.flatten(1), self.weight, self.bias)
        if self.convolve:  # rows are the pixels of one image, terms its columns
            # Axes are exchanged in four dimensions, which OpenVINO joins to the convolution.
            image = (x.unsqueeze(1) if x.dim() == 2 else x).unsqueeze(0).permute(0, 3, 1, 2)
            y = F.conv2d(image, self.weight, self.bias, groups=self.blocks)
            return y.permute(0, 2, 3, 1).reshape(-1, self.out_channels)
        # [N, T, C] -> [blocks, N, T * C / blocks] and back
        parts = x.unflatten(-1, (self.blocks, -1))
        parts = parts.movedim(-2, 0).flatten(2)
        y = torch.bmm(parts, self.weight).transpose(0, 1).reshape(-1, self.out_channels)
        return y if self.bias is None else y + self.bias

    def correct(self, fine: Tensor, delta: Tensor, norm: nn.Module) -> Tensor:
        """As :meth:`mgic_geo.nn.Prolongation.correct`, with the norm folded in."""
        return fine + self(delta)
