"""Initialisation of modules that hold others."""

from __future__ import annotations

from typing import Any


def reset(module: Any) -> None:
    """Calls ``reset_parameters`` of a module, or of the first ones inside of it that have it.

    What is no module has nothing to reset.

    As :func:`torch_geometric.nn.inits.reset`, whose import takes longer than all of ours.
    """
    own = getattr(module, "reset_parameters", None)
    if callable(own):
        own()
    elif hasattr(module, "children"):
        for child in module.children():
            reset(child)
