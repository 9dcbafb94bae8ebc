"""Depth images of clouds, as an image network sees them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mgic_geo.errors import DataError

_FARTHEST = 0.25  # nearness at the far side of the frame: well apart from the empty 0
_BORDER = 1.0 + 1e-5  # rounding must not cut off what lies on the unit sphere


def render_depth(
    pos: Tensor,
    views: int = 3,
    size: int = 32,
    *,
    batch: Tensor | None = None,
    radius: int = 1,
    azimuth: float = 0.0,
    elevation: float = 0.0,
    above: bool = False,
    extent: float = 1.0,
    up: int = 2,
) -> Tensor:
    r"""Orthographic depth images of clouds, seen from directions evenly around the up axis.

    The viewer of image :math:`i` of :math:`V` stands at the azimuth :math:`a + 360° i / V`, where 0
    is the front (-y for z up) and 90 the side of +x. A point at :math:`t` towards the viewer has
    the nearness

    .. math::
        1 - \tfrac{3}{8} (1 - t / e), \qquad t \in [-e, e],

    1 at the near side of the frame and 0.25 at its far side; the nearest point of a pixel is seen,
    and an empty pixel is 0. The result follows from the points alone, whatever their order and
    batch. A cloud that turns by the angle between two views moves each image on by one place.

    Args:
        pos: Clouds ``[B, n, 3]``, or ``[N, 3]`` with ``batch``; centred and scaled into the unit
            sphere, see :func:`normalize_sphere`, they just fill the frame.
        views: Number of directions around the up axis.
        size: Height and width of the images in pixels.
        batch: Cloud of each point ``[N]``, int64; one cloud if not given.
        radius: Points are drawn as discs of this radius, in pixels; 0 for single pixels.
        azimuth: Of the first viewer, in degrees.
        elevation: Of the viewers above the ground, in degrees.
        above: Add an image from right above, with the front at its bottom.
        extent: Half the side :math:`e` of the frame, a cube around the origin, in the units of
            ``pos``. Points beside it, and those that are not finite, are not drawn; nearer and
            farther ones are drawn at its near and far side.
        up: The vertical axis (0, 1 or 2).

    Returns:
        Nearness ``[B, views (+ 1), 1, size, size]``, 0 or in [0.25, 1].

    Raises:
        DataError: A shape other than these, or an option out of range.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms import render_depth
        >>> render_depth(torch.zeros(2, 1, 3), views=4, size=3, radius=0)[0, 0, 0]
        tensor([[0.0000, 0.0000, 0.0000],
                [0.0000, 0.6250, 0.0000],
                [0.0000, 0.0000, 0.0000]])
    """
    check_views(views, size, radius, extent, up)
    pos, cloud, num_clouds = _flat(pos, batch)
    frames = _frames(views, azimuth, elevation, above, up).to(pos)
    x, y, z = (axis.unsqueeze(-1) for axis in (pos / extent).unbind(-1))
    # Written out: a product with a 3 x 3 matrix would round by the size of the batch.
    across, upwards, towards = (x * f[:, 0] + y * f[:, 1] + z * f[:, 2] for f in frames)

    inside = (across.abs() <= _BORDER) & (upwards.abs() <= _BORDER)
    near = 1.0 - 0.5 * (1.0 - _FARTHEST) * (1.0 - towards.clamp(-1.0, 1.0))
    near = torch.where(inside, near, 0.0)  # 0 never wins, so the pixel does not matter
    column = _pixel(across, inside, size)
    row = _pixel(-upwards, inside, size)
    count = frames.size(1)  # of images a cloud
    image = cloud.unsqueeze(-1) * count + torch.arange(count, device=pos.device)
    index = (image * size + row) * size + column
    flat = pos.new_zeros(num_clouds * count * size * size)
    flat = flat.scatter_reduce(0, index.flatten(), near.flatten(), "amax")
    return _grow(flat.view(num_clouds, count, 1, size, size), radius)


def check_views(views: int, size: int, radius: int, extent: float, up: int) -> None:
    if min(views, size) < 1 or radius < 0 or not extent > 0.0 or up not in (0, 1, 2):
        raise DataError(
            "views and size must be >= 1, radius >= 0, extent > 0 and up 0, 1 or 2; got "
            f"{views}, {size}, {radius}, {extent}, {up}"
        )


def _flat(pos: Tensor, batch: Tensor | None) -> tuple[Tensor, Tensor, int]:
    """Points ``[N, 3]``, the cloud of each ``[N]``, and the number of clouds."""
    dims = (2, 3) if batch is None else (2,)
    if pos.dim() not in dims or pos.size(-1) != 3:
        raise DataError(f"pos must be [B, n, 3], or [N, 3] with batch, got {list(pos.shape)}")
    if pos.dim() == 3:
        cloud = torch.arange(pos.size(0), device=pos.device).repeat_interleave(pos.size(1))
        return pos.flatten(0, 1), cloud, pos.size(0)
    if batch is None:
        return pos, torch.zeros(pos.size(0), dtype=torch.long, device=pos.device), 1
    if batch.shape != pos.shape[:1]:
        raise DataError(f"there are {pos.size(0)} points, but batch is {list(batch.shape)}")
    return pos, batch, int(batch.max()) + 1 if len(batch) else 0


def _frames(views: int, azimuth: float, elevation: float, above: bool, up: int) -> Tensor:
    """To the right, upwards and towards the viewer, of each view: ``[3, V, 3]``."""
    first, second = (up + 1) % 3, (up + 2) % 3
    angles = [(azimuth + 360.0 * i / views, elevation) for i in range(views)]
    if above:
        angles.append((azimuth, 90.0))
    frames = torch.zeros(3, len(angles), 3, dtype=torch.float64)
    for i, (turn, tilt) in enumerate((math.radians(a), math.radians(e)) for a, e in angles):
        right = (math.cos(turn), math.sin(turn))
        ahead = (-math.sin(turn), math.cos(turn))
        for k, axis in enumerate((first, second)):
            frames[0, i, axis] = right[k]
            frames[1, i, axis] = math.sin(tilt) * ahead[k]
            frames[2, i, axis] = -math.cos(tilt) * ahead[k]
        frames[1, i, up], frames[2, i, up] = math.cos(tilt), math.sin(tilt)
    return frames


def _pixel(coordinate: Tensor, inside: Tensor, size: int) -> Tensor:
    """From [-1, 1] to the numbers of pixels; the last one owns its far border too."""
    scaled = torch.where(inside, (coordinate + 1.0) * (0.5 * size), 0.0)
    return scaled.long().clamp(max=size - 1)


def _grow(image: Tensor, radius: int) -> Tensor:
    """The largest value within ``radius`` pixels."""
    if radius == 0:
        return image
    size = image.size(-1)
    padded = F.pad(image, (radius,) * 4)
    for row in range(-radius, radius + 1):
        reach = math.isqrt(radius**2 - row**2)
        for column in range(-reach, reach + 1):
            top, left = radius + row, radius + column
            image = torch.maximum(image, padded[..., top : top + size, left : left + size])
    return image
