"""What a network looked at: how much the class of a cloud hangs on each of its points."""

from mgic_geo.attribution.api import METHODS, Explanation, explain
from mgic_geo.attribution.deletion import Deletion, deletion_test
from mgic_geo.attribution.gradient import gradient_input
from mgic_geo.attribution.occlusion import occlusion

__all__ = [
    "METHODS",
    "Deletion",
    "Explanation",
    "deletion_test",
    "explain",
    "gradient_input",
    "occlusion",
]
