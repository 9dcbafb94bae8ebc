"""Shares the parts of a compiled kernel among as many threads as torch has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from mgic_geo.kernels._workers import run_all

# Numbers read and written: a thread takes about as long to wake up as to go through half of them.
_WORTH_SHARING = 2**19


def parts_for(work: int, each: int = 1) -> int:
    """How many parts: ``each`` a thread, one where there is too little work to share."""
    return each * torch.get_num_threads() if work >= _WORTH_SHARING else 1


def run_parts(kernel: Callable[..., None], parts: int, *args: Any) -> None:
    """Runs ``kernel(part, parts, *args)``, which lets go of Python's lock, for every part."""
    if parts == 1:
        kernel(0, 1, *args)
    else:
        run_all(kernel, [(part, parts, *args) for part in range(parts)], torch.get_num_threads())
