"""Multigrid-in-channels (MGIC) layers for PyTorch and PyTorch Geometric."""

__version__ = "0.1.0"

__all__ = ["__version__"]
