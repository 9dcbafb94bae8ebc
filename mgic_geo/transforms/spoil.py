"""Training clouds as scanners deliver them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mgic_geo.errors import DataError

from .visible import view_directions, visible_points

_CELL = (0.08, 0.16)  # squares of the depth buffer, in radii: about 40 % of 1,024 points are seen
_COPIES = 0.02  # noise of points that stand in for hidden ones: copies would have edges of length 0
_BLOBS = 8
_SPREAD = (0.075, 0.125)


def spoil_clouds(
    pos: Tensor,
    num_points: int,
    generator: torch.Generator | None = None,
    *,
    view: float = 0.0,
    density: float = 0.0,
    holes: float = 0.0,
    clusters: float = 0.0,
    outliers: float = 0.0,
    noise: float = 0.0,
    spoilt: float = 0.35,
) -> Tensor:
    r"""Keeps some points of every cloud, hides sides and parts, and adds points that are not its.

    Each kind falls on a cloud with the probability ``spoilt``, a view and density with their own,
    and the share or strength is drawn from 0 to what is given. In this order:

    - **view**: only what a viewer at a random azimuth, -10 to 60 degrees up, sees by
      :func:`visible_points`
    - **density**: a point is kept with a probability that falls with the square of its distance to
      a viewer 1.3 to 3 radii from the centre
    - **holes**: the points that are nearest to one to four of them go, in balls of unlike size
    - **clusters**: points give way to up to eight normal blobs around others,
      :math:`\sigma \sim U(0.075, 0.125)`
    - **outliers**: points give way to uniform ones in the unit sphere or in the cube around it
    - **noise**: normal, for each coordinate of each point

    If fewer points are left than are to be kept, others stand twice, moved by normal noise of 0.02.
    The last three are kinds of the tests of `ModelNet-C <https://arxiv.org/abs/2202.03377>`_.

    Args:
        pos: Clouds in the unit sphere, ``[B, n, 3 + F]``; features stay with their points, and
            points that were not the cloud's have those of the points that gave way.
        num_points: Points of each result, at most ``n``.
        generator: Source of all draws; torch's global one if not given.
        view: Probability that a cloud is seen from one side.
        density: Probability that it thins with the distance.
        holes: Largest share of the points that is cut out, below 1.
        clusters: Largest share of points in blobs.
        outliers: Largest share of stray points.
        noise: Largest standard deviation, in radii.
        spoilt: Probability of holes, of clusters, of outliers and of noise.

    Returns:
        Clouds ``[B, num_points, 3 + F]``, in random order.

    Raises:
        DataError: A shape or an option out of range.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms import spoil_clouds
        >>> sides = spoil_clouds(torch.rand(4, 100, 3), 50, view=1.0, outliers=0.1)
        >>> sides.shape
        torch.Size([4, 50, 3])
    """
    if pos.dim() != 3 or pos.size(2) < 3 or not 1 <= num_points <= pos.size(1):
        raise DataError(f"cannot keep {num_points} points of clouds {list(pos.shape)}")
    for name, value in {
        "view": view, "density": density, "clusters": clusters, "outliers": outliers,
        "spoilt": spoilt,
    }.items():  # fmt: skip
        if not 0.0 <= value <= 1.0:
            raise DataError(f"{name} = {value}: it must be in [0, 1]")
    if not 0.0 <= holes < 1.0 or noise < 0.0:
        raise DataError(f"holes = {holes}, noise = {noise}: holes must be in [0, 1), noise >= 0")
    draw = _Draw(pos, generator)
    xyz = pos[..., :3]
    weight = torch.ones_like(xyz[..., 0])
    if view:
        cell = _CELL[0] + (_CELL[1] - _CELL[0]) * float(draw.uniform())
        seen = visible_points(xyz, draw.directions(), cell)
        weight = weight * (seen | ~draw.chance(view)[:, None])
    if density:
        viewer = (1.3 + 1.7 * draw.uniform(draw.size, 1)) * draw.directions()
        thinned = 1.0 / (xyz - viewer[:, None]).square().sum(dim=2).clamp_min(1e-2)
        weight = torch.where(draw.chance(density)[:, None], weight * thinned, weight)
    if holes:
        share = holes * draw.uniform(draw.size) * draw.chance(spoilt)
        weight = weight * ~_in_holes(xyz, share, draw)
    index, copies = _keep(weight, num_points, draw)
    out = pos.gather(1, index[..., None].expand(-1, -1, pos.size(2)))
    xyz = out[..., :3] + _COPIES * copies[..., None] * draw.normal(draw.size, num_points, 3)
    place = draw.uniform(draw.size, num_points)
    if clusters:
        share = clusters * draw.uniform(draw.size, 1) * draw.chance(spoilt)[:, None]
        xyz = torch.where((place < share)[..., None], _blobs(xyz, draw), xyz)
    if outliers:
        share = outliers * draw.uniform(draw.size, 1) * draw.chance(spoilt)[:, None]
        xyz = torch.where((place > 1.0 - share)[..., None], _strays(num_points, draw), xyz)
    if noise:
        sigma = noise * draw.uniform(draw.size) * draw.chance(spoilt)
        xyz = xyz + sigma[:, None, None] * draw.normal(draw.size, num_points, 3)
    return torch.cat([xyz, out[..., 3:]], dim=2) if pos.size(2) > 3 else xyz


class _Draw:
    """Random numbers of a batch, from one generator, of the type of the clouds."""

    def __init__(self, pos: Tensor, generator: torch.Generator | None) -> None:
        self.size, self.pos, self.generator = pos.size(0), pos, generator
        self.device = pos.device if generator is None else generator.device

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device).to(self.pos)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.device).to(self.pos)

    def chance(self, probability: float) -> Tensor:
        return self.uniform(self.size) < probability

    def directions(self) -> Tensor:
        return view_directions(self.size, self.generator).to(self.pos)


def _in_holes(xyz: Tensor, share: Tensor, draw: _Draw) -> Tensor:
    """The share of each cloud that is nearest to one to four of its points."""
    size, count = xyz.shape[:2]
    start = (count * draw.uniform(size, 4, 1)).long().clamp_max(count - 1)
    center = xyz.gather(1, start.expand(-1, -1, 3))
    radius = 0.3 + draw.uniform(size, 4)
    # a hole of no size at all is none
    used = torch.arange(4, device=xyz.device) < 1 + (4.0 * draw.uniform(size, 1)).long()
    distance = (xyz[:, :, None] - center[:, None]).norm(dim=3) / radius[:, None]
    distance = distance.masked_fill(~used[:, None], math.inf).amin(dim=2)
    rank = distance.argsort(dim=1).argsort(dim=1)
    return rank < (share * count)[:, None]


def _keep(weight: Tensor, num_points: int, draw: _Draw) -> tuple[Tensor, Tensor]:
    """Points drawn without repeats in proportion to their weights, and which of them are copies."""
    # an exponential race: the first arrivals are such a draw
    arrival = -torch.log(draw.uniform(*weight.shape).clamp_min(1e-12)) / weight
    arrival, order = arrival.sort(dim=1)
    there = arrival.isfinite().sum(dim=1, keepdim=True).clamp_min(1)
    place = torch.arange(num_points, device=weight.device).expand(weight.size(0), -1)
    index = order.gather(1, place % there)
    mixed = draw.uniform(*index.shape).argsort(dim=1)
    return index.gather(1, mixed), (place >= there).gather(1, mixed)


def _blobs(xyz: Tensor, draw: _Draw) -> Tensor:
    size, count = xyz.shape[:2]
    start = (count * draw.uniform(size, _BLOBS, 1)).long().clamp_max(count - 1)
    center = xyz.gather(1, start.expand(-1, -1, 3))
    spread = _SPREAD[0] + (_SPREAD[1] - _SPREAD[0]) * draw.uniform(size, _BLOBS, 1)
    blobs = 1 + (_BLOBS * draw.uniform(size, 1)).long().clamp_max(_BLOBS - 1)
    which = (blobs * draw.uniform(size, count)).long().clamp_max(_BLOBS - 1)[..., None]
    center, spread = center.gather(1, which.expand(-1, -1, 3)), spread.gather(1, which)
    return center + spread * draw.normal(size, count, 3)


def _strays(count: int, draw: _Draw) -> Tensor:
    """Uniform points in the cube around the unit sphere, or in the sphere, by a coin a cloud."""
    box = 2.0 * draw.uniform(draw.size, count, 3) - 1.0
    away = torch.nn.functional.normalize(draw.normal(draw.size, count, 3), dim=2)
    ball = away * draw.uniform(draw.size, count, 1) ** (1.0 / 3.0)
    return torch.where(draw.chance(0.5)[:, None, None], ball, box)
