"""Channel attention of images whose channels lie side by side."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from mgic_geo.kernels._cpu.conv import rows_of
from mgic_geo.kernels._cpu.pool import parts_for, run_parts


@numba.njit(cache=True, nogil=True)
def _kernel(part, parts, x, reduce, reduce_bias, expand, expand_bias, y):
    images, pixels, channels = x.shape
    groups, size, inner = reduce.shape
    total, gate = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    hidden = np.empty(inner, x.dtype)
    for b in range(part * images // parts, (part + 1) * images // parts):
        total[:] = 0
        for p in range(pixels):
            for c in range(channels):
                total[c] += x[b, p, c]
        for g in range(groups):
            # along the last axis, which fills vector registers
            hidden[:] = reduce_bias[g]
            for c in range(size):
                mean = total[g * size + c] / pixels
                for i in range(inner):
                    hidden[i] += reduce[g, c, i] * mean
            own = gate[g * size : (g + 1) * size]
            own[:] = expand_bias[g]
            for i in range(inner):
                h = max(hidden[i], 0)
                for c in range(size):
                    own[c] += expand[g, i, c] * h
            for c in range(size):
                own[c] = min(max(own[c] + 3, 0), 6) / 6
        for p in range(pixels):
            for c in range(channels):
                y[b, p, c] = x[b, p, c] * gate[c]


def squeeze_excite_forward(
    x: Tensor, reduce: Tensor, reduce_bias: Tensor, expand: Tensor, expand_bias: Tensor
) -> Tensor:
    """``x`` times the hard sigmoid of two maps of its means, with a ReLU between.

    Args:
        x: ``[B, C, H, W]``, channels last.
        reduce: ``[groups, C / groups, squeezed / groups]``.
        reduce_bias: ``[groups, squeezed / groups]``.
        expand: ``[groups, squeezed / groups, C / groups]``.
        expand_bias: ``[groups, C / groups]``.
    """
    y = torch.empty_like(x, memory_format=torch.channels_last)
    shape = (x.size(0), -1, x.size(1))
    weights: list[Any] = [t.detach().numpy() for t in (reduce, reduce_bias, expand, expand_bias)]
    parts = min(parts_for(x.numel()), x.size(0))
    run_parts(_kernel, parts, rows_of(x).reshape(shape), *weights, rows_of(y).reshape(shape))
    return y
