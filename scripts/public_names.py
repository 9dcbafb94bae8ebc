"""What the package promises: its public names, where each stands first."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

# Public packages, in the order of the reference, with what they hold.
PACKAGES = {
    "mgic_geo": "The calls of a first day.",
    "mgic_geo.nn": "Layers: the channel hierarchy, transfers, operators on graphs, dense maps.",
    "mgic_geo.nn.vision": "Blocks of image backbones with `groups`.",
    "mgic_geo.hierarchy": "Widths, groups and exact counts.",
    "mgic_geo.graph": "Neighbours and differential operators.",
    "mgic_geo.models": "Networks by name, their weights, and what to build on.",
    "mgic_geo.datasets": "Clouds of points with labels.",
    "mgic_geo.datasets.images": "Images with labels or masks.",
    "mgic_geo.transforms": "Sampling, normalisation and augmentation of clouds.",
    "mgic_geo.transforms.images": "Changes of images and masks.",
    "mgic_geo.scans": "Scans as they come: stray points, floors, several objects, another axis up.",
    "mgic_geo.io": "Files of meshes and clouds.",
    "mgic_geo.training": "Runs, their options and their figures.",
    "mgic_geo.inference": "Classes of single shapes.",
    "mgic_geo.export": "Files for other engines.",
    "mgic_geo.compress": "Other people's networks in the channel hierarchy.",
    "mgic_geo.kernels": "Operators behind the layers.",
    "mgic_geo.profiling": "Parameters and work, layer by layer.",
    "mgic_geo.attribution": "What a network looked at.",
    "mgic_geo.viz": "Pictures and reports.",
    "mgic_geo.testing": "Helpers for tests of layers.",
    "mgic_geo.errors": "What goes wrong, by name.",
}


def public_names(package: str) -> dict[str, Any]:
    """Names and objects of a package's ``__all__``; of a module without one, what it defines."""
    module = import_module(package)
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == package
        ]
    return {name: getattr(module, name) for name in names if not name.startswith("__")}


def all_names() -> list[tuple[str, str, Any]]:
    """Package, name and object of every public name, each where it stands first."""
    seen: set[int] = set()
    found = []
    for package in PACKAGES:
        for name, value in public_names(package).items():
            if inspect.ismodule(value) or (callable(value) and id(value) in seen):
                continue
            seen.add(id(value))
            found.append((package, name, value))
    return found
