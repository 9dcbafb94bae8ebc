"""One entry to all kinds."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from mgic_geo.errors import DataError

from . import _modelnet_c, _scans

SEVERITIES = 5
MODELNET_C = tuple(_modelnet_c.KINDS)
_KINDS = _modelnet_c.KINDS | _scans.KINDS
CORRUPTIONS = tuple(_KINDS)


def corrupt(pos: Tensor, kind: str, severity: int, seed: int = 0) -> Tensor:
    r"""Spoils one cloud.

    With :math:`s = 1, \dots, 5`, for a cloud of 1,024 points in the unit sphere with z up, counts
    in proportion for others:

    ============== ==============================================================================
    ``scale``      each axis by :math:`U(1/S, S)`, :math:`S` = 1.6, 1.7, 1.8, 1.9, 2.0; scaled
                   into the unit sphere again
    ``jitter``     each coordinate :math:`+\,N(0, \sigma^2)`, :math:`\sigma` = 0.01, ..., 0.05
    ``drop_global`` a share of 0.25, 0.375, 0.5, 0.675, 0.75 of the points, any
    ``drop_local`` 100, ..., 500 points, the nearest to one to eight of them
    ``add_global`` 10, ..., 50 uniform points in the unit sphere
    ``add_local``  100, ..., 500 points, normal around one to eight of the cloud,
                   :math:`\sigma \sim U(0.075, 0.125)`
    ``rotate``     about x, y and z, each by :math:`U(-\theta, \theta)`,
                   :math:`\theta = \pi/30, \pi/15, \pi/10, \pi/7.5, \pi/6`
    ``heading``    about z by :math:`U(-\theta, \theta)`, :math:`\theta` = 15, 45, 90, 135, 180
                   degrees
    ``up``         turned: y up, x up, upside down, -x up, -y up; nothing random
    ``view``       what 5, 4, 3, 2, 1 viewers see, see :func:`hide_points`, 3 radii away at any
                   azimuth, -10 to 60 degrees up
    ``density``    half of the points, drawn in proportion to :math:`1 / d^2` with the distance
                   :math:`d` to a viewer 3, 2.25, 1.75, 1.5, 1.25 radii from the centre
    ``quantise``   rounded to multiples of 0.02, 0.04, 0.06, 0.08, 0.1; equal points once
    ============== ==============================================================================

    The first seven are those of ModelNet-C. ``view`` and ``density`` are centred and scaled anew,
    as such a scan would be.

    Args:
        pos: One cloud ``[n, 3]`` in the unit sphere, see
            :func:`~mgic_geo.transforms.normalize_sphere`.
        kind: One of ``CORRUPTIONS``; the first seven are ``MODELNET_C``.
        severity: 1 to 5.
        seed: The same seed, kind and severity give the same cloud.

    Returns:
        A new cloud ``[m, 3]``.

    Raises:
        DataError: Another kind, severity or shape.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms.corruptions import corrupt
        >>> cloud = torch.rand(1024, 3, generator=torch.Generator().manual_seed(0)) - 0.5
        >>> len(corrupt(cloud, "drop_global", 5)), len(corrupt(cloud, "add_local", 5))
        (256, 1524)
    """
    if kind not in _KINDS:
        raise DataError(f"kind = {kind!r}: use one of {', '.join(CORRUPTIONS)}")
    if severity not in range(1, SEVERITIES + 1):
        raise DataError(f"severity = {severity}: it must be 1 to {SEVERITIES}")
    if pos.dim() != 2 or pos.size(1) != 3 or not len(pos):
        raise DataError(f"pos must be [n, 3], got {list(pos.shape)}")
    # one stream each: the kinds do not hang on which others are measured
    stream = zlib.crc32(f"{kind} {severity} {seed}".encode())
    generator = torch.Generator().manual_seed(stream)
    return _KINDS[kind](pos, severity - 1, generator)
