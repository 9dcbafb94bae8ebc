"""Normalisation on a chosen channel axis."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Norm = str | Callable[[int], nn.Module] | None


class BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation of node features ``[*, C]`` or images ``[B, C, *]``.

    Args:
        num_features: Number of channels.
        channel_axis: ``-1`` or ``1``.
        scale: Initial value of the learned scale; 0 makes a residual branch start silent.
    """

    def __init__(self, num_features: int, channel_axis: int = -1, scale: float = 1.0) -> None:
        self.channel_axis = channel_axis
        self.scale = scale
        super().__init__(num_features)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.weight, self.scale)

    def forward(self, input: Tensor) -> Tensor:
        if self.channel_axis == -1 and input.dim() > 2:
            return super().forward(input.flatten(0, -2)).view(input.shape)
        return super().forward(input)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"BatchNorm needs at least 2 dimensions, got {input.dim()}")


def make_norm(norm: Norm, channels: int, channel_axis: int = -1, scale: float = 1.0) -> nn.Module:
    """Builds ``"batch"``, ``None`` / ``"none"`` (identity) or what ``norm(channels)`` returns."""
    if norm is None or norm == "none":
        return nn.Identity()
    if norm == "batch":
        return BatchNorm(channels, channel_axis, scale)
    if callable(norm):
        module = norm(channels)
        if scale != 1.0 and isinstance(weight := getattr(module, "weight", None), torch.Tensor):
            nn.init.constant_(weight, scale)
        return module
    raise ValueError(f"norm = {norm!r}: use 'batch', 'none' or a function of the channels")
