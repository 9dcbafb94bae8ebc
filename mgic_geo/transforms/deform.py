"""Smooth local deformations of clouds."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mgic_geo.errors import DataError


def deform_clouds(
    pos: Tensor,
    generator: torch.Generator | None = None,
    *,
    anchors: int = 4,
    bandwidth: float = 0.5,
    scale: float = 3.0,
    rotate_degrees: float = 10.0,
    shift: float = 0.25,
) -> Tensor:
    r"""Deforms every cloud by a smooth blend of a few local maps.

    `PointWOLF <https://arxiv.org/abs/2110.05379>`_ (Kim et al. 2021), without its search. Around
    each of :math:`M` anchors :math:`a_m`, points of the cloud that are far from each other, all
    points are scaled along the axes, turned and shifted,
    :math:`p_i^m = S_m R_m (p_i - a_m) + t_m + a_m`, and the results are blended:

    .. math::
        p_i' = \frac{\sum_m w_{im}\, p_i^m}{\sum_m w_{im}}, \qquad
        w_{im} = \exp\left( -\frac{\lVert \beta_m \odot (p_i - a_m) \rVert^2}{2 h^2} \right)

    with a random choice :math:`\beta_m \in \{0, 1\}^3` of axes, at least one.

    Args:
        pos: Clouds ``[B, n, 3]``, about in the unit sphere.
        generator: Source of all draws; torch's global one if not given.
        anchors: The number :math:`M`.
        bandwidth: The width :math:`h` of the blend.
        scale: Largest factor along an axis, drawn from 1 on and inverted half of the time.
        rotate_degrees: Largest angle about each axis.
        shift: Largest shift along each axis.

    Returns:
        New clouds ``[B, n, 3]``, centred on their mean and scaled into the unit sphere.

    Raises:
        DataError: A shape other than ``[B, n, 3]``, or an option out of range.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms import deform_clouds
        >>> clouds = torch.rand(2, 50, 3, generator=torch.Generator().manual_seed(0))
        >>> bent = deform_clouds(clouds, torch.Generator().manual_seed(0))
        >>> bent.shape, bool(bent.norm(dim=2).max() <= 1.0001)
        (torch.Size([2, 50, 3]), True)
    """
    if pos.dim() != 3 or pos.size(2) != 3 or not pos.numel():
        raise DataError(f"pos must be [B, n, 3], got {list(pos.shape)}")
    if anchors < 1 or not bandwidth > 0.0 or scale < 1.0 or min(rotate_degrees, shift) < 0.0:
        raise DataError(
            "anchors must be >= 1, bandwidth > 0, scale >= 1, rotate_degrees and shift >= 0; got "
            f"{anchors}, {bandwidth}, {scale}, {rotate_degrees}, {shift}"
        )
    size = pos.size(0), anchors
    device = pos.device if generator is None else generator.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        draw = torch.rand(*size, *shape, generator=generator, device=device)
        return (low + (high - low) * draw).to(pos)

    center = _anchors(pos, anchors, generator)[:, :, None]  # [B, M, 1, 3]
    factor = uniform(1.0, scale, 3)
    factor = torch.where(uniform(0.0, 1.0, 3) < 0.5, 1.0 / factor, factor)
    angle = math.radians(rotate_degrees)
    matrix = factor[..., :, None] * euler_rotation(uniform(-angle, angle, 3))
    offset = pos[:, None] - center
    local = (offset[..., None, :] * matrix[:, :, None]).sum(dim=-1)
    local = local + uniform(-shift, shift, 1, 3) + center
    seen = (uniform(0.0, 1.0, 1, 3) < 0.5).to(pos)
    one = torch.nn.functional.one_hot((3.0 * uniform(0.0, 1.0, 1)).long().clamp_max(2), 3).to(pos)
    distance = (offset * torch.maximum(seen, one)).square().sum(dim=3)
    # the nearest anchor's weight is 1, so that no sum of weights is 0
    distance = distance - distance.amin(dim=1, keepdim=True)
    weight = torch.exp(-distance / (2.0 * bandwidth**2))[..., None]
    out = (weight * local).sum(dim=1) / weight.sum(dim=1)
    return recentred(out)


def recentred(pos: Tensor) -> Tensor:
    """Centred on the mean and scaled into the unit sphere; a single point stays where it is."""
    pos = pos - pos.mean(dim=1, keepdim=True)
    radius = pos.norm(dim=2, keepdim=True).amax(dim=1, keepdim=True)
    return pos / torch.where(radius > 0.0, radius, 1.0)


def _anchors(pos: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """Points of the clouds ``[B, M, 3]``: a random one, and each next far from those before."""
    device = pos.device if generator is None else generator.device
    start = torch.randint(pos.size(1), (pos.size(0), 1), generator=generator, device=device)
    chosen = [pos.gather(1, start.to(pos.device)[..., None].expand(-1, -1, 3))]
    distance = pos.new_full(pos.shape[:2], math.inf)
    for _ in range(count - 1):
        distance = torch.minimum(distance, (pos - chosen[-1]).square().sum(dim=2))
        farthest = distance.argmax(dim=1, keepdim=True)
        chosen.append(pos.gather(1, farthest[..., None].expand(-1, -1, 3)))
    return torch.cat(chosen, dim=1)


def euler_rotation(angles: Tensor) -> Tensor:
    """Rotations ``[..., 3, 3]`` about x, then y, then z by ``angles [..., 3]``, in radians."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
