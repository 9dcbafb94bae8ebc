"""Multigrid-in-channels (MGIC) layers for PyTorch and PyTorch Geometric."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mgic_geo.compress import compress, distill
    from mgic_geo.export import export
    from mgic_geo.inference import predict
    from mgic_geo.nn.fusion import fuse
    from mgic_geo.segmentation import segment_points

__version__ = "0.1.0"

__all__ = ["__version__", "compress", "distill", "export", "fuse", "predict", "segment_points"]

_AT_FIRST_USE = {
    "distill": "mgic_geo.compress",
    "fuse": "mgic_geo.nn.fusion",
    "predict": "mgic_geo.inference",
    "segment_points": "mgic_geo.segmentation",
}


def __getattr__(name: str) -> Any:
    # At its first use: importing the package for its version does not import torch.
    if name in _AT_FIRST_USE:
        return getattr(import_module(_AT_FIRST_USE[name]), name)
    if name in ("compress", "export"):
        return import_module(f"mgic_geo.{name}")  # a module that is called
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
