"""Compressed rows in plain torch, also where each sample of a batch has rows of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels.dispatch import runs_plain


def row_of_entries(rowptr: Tensor, entries: int) -> Tensor:
    """The row that each entry belongs to, int64 ``[E]``.

    Args:
        rowptr: First entry of each row, ``[N + 1]``.
        entries: Their number :math:`E`.
    """
    if runs_plain([rowptr]):  # torch.vmap has no rule for repeat_interleave
        ends = rowptr[1:].long()
        passed = ends.new_zeros(entries + 1).scatter_add(0, ends, torch.ones_like(ends))
        return passed.cumsum(0)[:-1]
    nodes = torch.arange(rowptr.size(0) - 1, device=rowptr.device)
    return torch.repeat_interleave(nodes, rowptr.diff().long(), output_size=entries)


def row_pointers(row: Tensor, rows: int) -> Tensor:
    """First entry of each row, int32 ``[N + 1]``, from the sorted rows of the entries ``[E]``."""
    row = row.long()
    counts = row.new_zeros(rows + 1).scatter_add(0, row + 1, torch.ones_like(row))
    return counts.cumsum(0).to(torch.int32)
