"""Decides whether a compiled CPU kernel takes a tensor."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def _load() -> ModuleType | None:
    if os.environ.get("MGIC_GEO_KERNELS", "auto") == "torch":
        return None
    try:
        import numba

        if "NUMBA_THREADING_LAYER_PRIORITY" not in os.environ:
            # Open3D brings an old TBB, which Numba would try first and complain about.
            config: Any = numba.config
            config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]
        from mgic_geo.kernels import _numba
    # No wheel for this platform, or nowhere to cache: plain torch does the work.
    except (ImportError, RuntimeError):
        return None
    return _numba


compiled: Any = _load()
"""The compiled kernels, or None; ``MGIC_GEO_KERNELS=torch`` switches them off."""


def use_compiled(x: Tensor) -> bool:
    """True for CPU tensors of a type that the kernels know."""
    return (
        compiled is not None
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
    )


def kernel_backend() -> str:
    """``"numba"`` or ``"torch"``: what runs on the CPU here."""
    return "torch" if compiled is None else "numba"
