"""Tensors as the arrays that compiled loops read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def arrays(x: Tensor, *tensors: Tensor) -> list[Any]:
    """Contiguous arrays; what is not an index gets the type of ``x``."""
    made = []
    for t in (x, *tensors):
        if t.dtype != torch.int32 and t.dtype != x.dtype:
            t = t.to(x.dtype)
        made.append((t.detach() if t.requires_grad else t).contiguous().numpy())
    return made
