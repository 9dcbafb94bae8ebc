"""Clouds that are dealt out to thinner ones."""

from __future__ import annotations

import torch
from torch import Tensor


def deal(pos: Tensor, batch: Tensor | None, parts: int) -> tuple[Tensor, Tensor | None]:
    """Deals the points of each cloud out to ``parts`` clouds in turn.

    Args:
        pos: ``[N, 3]`` or ``[B, n, 3]``.
        batch: Cloud of each point, sorted, ``[N]``.
        parts: How many.

    Returns:
        ``pos`` and ``batch`` of ``B * parts`` clouds, those of one beside each other.
    """
    if parts == 1:
        return pos, batch
    if pos.dim() == 3:
        size, count = pos.shape[:2]
        if count % parts == 0:
            dealt = pos.unflatten(1, (-1, parts)).transpose(1, 2)
            return dealt.reshape(size * parts, count // parts, 3), None
        batch = torch.arange(size, device=pos.device).repeat_interleave(count)
        pos = pos.flatten(0, 1)
    elif batch is None:
        batch = torch.zeros(len(pos), dtype=torch.long, device=pos.device)
    assert batch is not None
    place = torch.arange(len(pos), device=pos.device) - torch.searchsorted(batch, batch)
    part, order = (batch * parts + place % parts).sort(stable=True)
    return pos[order], part
