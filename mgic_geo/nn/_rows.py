"""Images whose channels lie side by side are rows of channels, as nodes are."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels.dispatch import runs_plain


def as_rows(x: Tensor) -> Tensor | None:
    """The pixels of ``[B, C, H, W]`` as rows ``[B * H * W, C]``; None where that takes a copy."""
    if x.dim() != 4 or runs_plain([x]):  # torch.vmap cannot say how its tensors lie
        return None
    if not x.is_contiguous(memory_format=torch.channels_last):
        return None
    return x.permute(0, 2, 3, 1).reshape(-1, x.size(1))


def as_image(rows: Tensor, like: Tensor) -> Tensor:
    """Rows as an image of the batch and size of ``like``, channels last."""
    batch, _, height, width = like.shape
    return rows.view(batch, height, width, -1).permute(0, 3, 1, 2)
