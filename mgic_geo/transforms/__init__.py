"""Sampling of surfaces and clouds, and augmentations, as functions and as PyG transforms."""

from .sampling import farthest_point_sample, poisson_disk, sample_surface

__all__ = ["farthest_point_sample", "poisson_disk", "sample_surface"]
