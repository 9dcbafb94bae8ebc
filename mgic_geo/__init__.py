"""Multigrid-in-channels (MGIC) layers for PyTorch and PyTorch Geometric."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mgic_geo.export import export
    from mgic_geo.nn.fusion import fuse

__version__ = "0.1.0"

__all__ = ["__version__", "export", "fuse"]


def __getattr__(name: str) -> Any:
    # At its first use: importing the package for its version does not import torch.
    if name == "fuse":
        from mgic_geo.nn.fusion import fuse

        return fuse
    if name == "export":
        return importlib.import_module("mgic_geo.export")  # a module that is called
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
