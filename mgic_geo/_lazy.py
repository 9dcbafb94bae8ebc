"""Packages whose members are imported at their first use."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def at_first_use(package: str, members: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package whose members cost too much to import all of them.

    Args:
        package: Name of the package.
        members: Public names by the module below the package that has them; a module without names
            is public itself.
    """
    origin = {name: module for module, names in members.items() for name in names}
    modules = {module for module, names in members.items() if not names}
    if clash := set(origin) & set(members):  # once imported, the module would hide its member
        raise ValueError(f"{package}: members and modules of one name, {sorted(clash)}")

    def load(name: str) -> Any:
        if name in modules:
            return import_module(f"{package}.{name}")
        if name not in origin:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{origin[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return load
