"""The form of somebody else's network in the channel hierarchy: compress, distill, report.

The module itself is callable: ``mgic_geo.compress(model, inputs)`` is :func:`compress`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from mgic_geo.compress.api import compress
from mgic_geo.compress.distillation import DistillResult, distill
from mgic_geo.compress.files import load_compressed, save_compressed
from mgic_geo.compress.latency import measure_latency
from mgic_geo.compress.report import CompressReport, Latency, LayerReport

__all__ = [
    "CompressReport",
    "DistillResult",
    "Latency",
    "LayerReport",
    "compress",
    "distill",
    "load_compressed",
    "measure_latency",
    "save_compressed",
]


class _Callable(ModuleType):
    """``mgic_geo.compress`` names both this package and the function that users want from it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return compress(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
