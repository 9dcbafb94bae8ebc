"""Furniture-10: a procedural twin of ModelNet-10, so that everything runs without a download."""

from .dataset import Furniture10
from .shapes import furniture_mesh, write_off_tree

__all__ = ["Furniture10", "furniture_mesh", "write_off_tree"]
