"""Furniture-10: a procedural twin of ModelNet-10, so that everything runs without a download."""

from .dataset import Furniture10
from .labelled import Furniture10Parts
from .shapes import PARTS as FURNITURE_PARTS
from .shapes import furniture_mesh, furniture_parts, write_off_tree

__all__ = [
    "FURNITURE_PARTS",
    "Furniture10",
    "Furniture10Parts",
    "furniture_mesh",
    "furniture_parts",
    "write_off_tree",
]
