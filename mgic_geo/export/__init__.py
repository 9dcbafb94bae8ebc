"""Models that leave Python: torch.export, ONNX, ExecuTorch and OpenVINO, checked in their engines.

The module itself is callable: ``mgic_geo.export(model, "model.onnx")`` is :func:`export`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from mgic_geo.export._lower import lower
from mgic_geo.export._torch import ExportError
from mgic_geo.export.api import FORMATS, ExportReport, Quantized, export
from mgic_geo.export.check import Difference
from mgic_geo.export.metadata import ExportInfo
from mgic_geo.export.runtime import ExportedModel, is_exported, load_exported

__all__ = [
    "FORMATS",
    "Difference",
    "ExportError",
    "ExportInfo",
    "ExportReport",
    "ExportedModel",
    "Quantized",
    "export",
    "is_exported",
    "load_exported",
    "lower",
]


class _Callable(ModuleType):
    """``mgic_geo.export`` names both this package and the function that users want from it."""

    def __call__(self, *args: Any, **kwargs: Any) -> ExportReport:
        return export(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
