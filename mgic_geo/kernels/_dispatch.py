"""Decides which kernel takes a tensor."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from mgic_geo.kernels import _triton


def compiled_for(x: Tensor) -> Any:
    """The compiled loops where they take ``x``: CPU tensors of a type that they know."""
    return compiled if _takes(x) else None


def fused_for(x: Tensor) -> Any:
    """The fused operators where they take ``x``."""
    return fused if _takes(x) else None


def triton_for(x: Tensor) -> Any:
    """The GPU kernels where they take ``x``."""
    return _triton if _on_gpu and _triton.use_triton(x) else None


def lanes(x: Tensor) -> int:
    """Numbers of a vector register, or 0 where no fused operator takes ``x``."""
    return VECTOR_BYTES // x.element_size() if fused_for(x) is not None else 0


def _takes(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


def arrays(x: Tensor, *tensors: Tensor) -> list[Any]:
    """Contiguous arrays; what is not an index gets the type of ``x``."""
    made = []
    for t in (x, *tensors):
        if t.dtype != torch.int32 and t.dtype != x.dtype:
            t = t.to(x.dtype)
        made.append((t.detach() if t.requires_grad else t).contiguous().numpy())
    return made


def kernel_backend() -> str:
    """``"numba"`` or ``"torch"``: what runs on the CPU here."""
    return "torch" if compiled is None else "numba"


def _load() -> tuple[ModuleType | None, ModuleType | None]:
    if os.environ.get("MGIC_GEO_KERNELS", "auto") == "torch":
        return None, None
    try:
        import numba  # noqa: F401
    except ImportError:  # no wheel for this platform: plain torch does the work
        return None, None
    try:
        from mgic_geo.kernels import _cpu, _numba
    except RuntimeError:  # nowhere to cache
        return None, None
    return _cpu, _numba


_on_gpu = os.environ.get("MGIC_GEO_KERNELS", "auto") != "torch"
fused: Any
compiled: Any
fused, compiled = _load()  # last, because the kernels import this module
"""The compiled kernels, or None; ``MGIC_GEO_KERNELS=torch`` switches them off."""

VECTOR_BYTES: int = 0 if fused is None else fused.machine()[0]
"""Bytes of a vector register of this machine."""
