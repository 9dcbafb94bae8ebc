"""Removing position and size of a cloud."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.errors import DataError


def normalize_sphere(pos: Tensor) -> Tensor:
    r"""Centres clouds on their mean and scales them into the unit sphere.

    :math:`p_i' = (p_i - \bar p) / \max_j \lVert p_j - \bar p \rVert`, in double precision inside,
    so that a scan far from the origin keeps its shape.

    Args:
        pos: One cloud or a dense batch, ``[..., n, D]``.

    Returns:
        Clouds ``[..., n, D]`` of the same type; without unit.

    Raises:
        DataError: Coordinates that are not finite, an empty cloud, or points that all coincide.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms import normalize_sphere
        >>> pos = normalize_sphere(torch.tensor([[10.0, 0.0, 0.0], [14.0, 0.0, 0.0]]))
        >>> pos.tolist()
        [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """
    if pos.dim() < 2 or pos.size(-2) == 0:
        raise DataError(f"a cloud must be [..., n, D] with n >= 1, got shape {list(pos.shape)}")
    if not bool(torch.isfinite(pos).all()):
        bad = int((~torch.isfinite(pos)).any(dim=-1).sum())
        raise DataError(f"{bad} points have NaN or infinite coordinates; drop them first")
    precise = pos.double()
    centred = precise - precise.mean(dim=-2, keepdim=True)
    radius = centred.norm(dim=-1, keepdim=True).amax(dim=-2, keepdim=True)
    # Below the rounding of the coordinates themselves there is no shape left.
    rounding = 8.0 * torch.finfo(pos.dtype).eps * precise.abs().amax(dim=(-2, -1), keepdim=True)
    if bool((radius <= rounding).any()):
        raise DataError(
            f"all {pos.size(-2)} points of a cloud coincide: it has no size to normalise"
        )
    return (centred / radius).to(pos.dtype)
