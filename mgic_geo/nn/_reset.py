"""Initialisation of modules that hold others."""

from __future__ import annotations

from torch import nn


def reset(module: nn.Module | None) -> None:
    """Calls ``reset_parameters`` of a module, or of the first ones inside of it that have it.

    As :func:`torch_geometric.nn.inits.reset`, whose import takes longer than all of ours.
    """
    own = getattr(module, "reset_parameters", None)
    if callable(own):
        own()
    elif module is not None:
        for child in module.children():
            reset(child)
