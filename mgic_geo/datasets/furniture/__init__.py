"""Furniture-10: a procedural twin of ModelNet-10, so that everything runs without a download."""

from .shapes import furniture_mesh, write_off_tree

__all__ = ["furniture_mesh", "write_off_tree"]
