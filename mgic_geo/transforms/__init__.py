"""Sampling of surfaces and clouds, and augmentation: functions, and PyG transforms of ``Data``.

PyG's own transforms are not written again. Wrap those that are random in :class:`Seeded`:
``Seeded(RandomRotate(180, axis=2), seed=0)``, and likewise ``RandomFlip``, ``RandomScale``,
``RandomJitter`` (uniform), ``RandomShear``, ``FixedPoints(n, replace=False)`` (a random subset),
``SamplePoints``; ``Center``, ``NormalizeScale`` and ``NormalizeRotation`` draw nothing.
To change a whole training batch in one call, use :func:`augment_clouds`.
To spoil it as scanners do, use :func:`spoil_clouds`; to measure what that costs,
:mod:`mgic_geo.transforms.corruptions`. Images have a package of their own,
:mod:`mgic_geo.transforms.images`.
"""

from typing import TYPE_CHECKING

from mgic_geo._lazy import at_first_use

if TYPE_CHECKING:
    from . import corruptions, images
    from .augment import (
        GaussianJitter,
        RandomAugment,
        RandomPointDropout,
        RandomScaleAxes,
        RandomShift,
    )
    from .batched import augment_clouds, subset_clouds
    from .cut_mix import cut_mix_clouds
    from .deform import deform_clouds
    from .depth_views import render_depth
    from .farthest import farthest_point_sample
    from .knn import KNNGraph
    from .normalize import normalize_sphere
    from .normalized import NormalizeSphere
    from .radius import RadiusGraph
    from .resample import FarthestPointSampling, PoissonDiskSampling, SampleSurface
    from .sampling import poisson_disk, sample_surface
    from .seeded import Seeded
    from .spoil import spoil_clouds
    from .visible import view_directions, visible_points
    from .with_views import DepthViews

__all__ = [
    "DepthViews",
    "FarthestPointSampling",
    "GaussianJitter",
    "KNNGraph",
    "NormalizeSphere",
    "PoissonDiskSampling",
    "RadiusGraph",
    "RandomAugment",
    "RandomPointDropout",
    "RandomScaleAxes",
    "RandomShift",
    "SampleSurface",
    "Seeded",
    "augment_clouds",
    "corruptions",
    "cut_mix_clouds",
    "deform_clouds",
    "farthest_point_sample",
    "images",
    "normalize_sphere",
    "poisson_disk",
    "render_depth",
    "sample_surface",
    "spoil_clouds",
    "subset_clouds",
    "view_directions",
    "visible_points",
]

__getattr__ = at_first_use(
    __name__,
    {
        "corruptions": (),
        "images": (),
        "augment": (
            "GaussianJitter",
            "RandomAugment",
            "RandomPointDropout",
            "RandomScaleAxes",
            "RandomShift",
        ),
        "batched": ("augment_clouds", "subset_clouds"),
        "cut_mix": ("cut_mix_clouds",),
        "deform": ("deform_clouds",),
        "depth_views": ("render_depth",),
        "farthest": ("farthest_point_sample",),
        "knn": ("KNNGraph",),
        "normalize": ("normalize_sphere",),
        "normalized": ("NormalizeSphere",),
        "radius": ("RadiusGraph",),
        "resample": ("FarthestPointSampling", "PoissonDiskSampling", "SampleSurface"),
        "sampling": ("poisson_disk", "sample_surface"),
        "seeded": ("Seeded",),
        "spoil": ("spoil_clouds",),
        "visible": ("view_directions", "visible_points"),
        "with_views": ("DepthViews",),
    },
)
