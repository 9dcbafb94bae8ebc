"""What one viewer sees of a cloud."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mgic_geo.errors import DataError


def visible_points(
    pos: Tensor, direction: Tensor, cell: float = 0.1, tolerance: float | None = None
) -> Tensor:
    r"""The points of clouds that a far viewer sees, by a depth buffer.

    The plane across the direction :math:`d` is cut into squares of side :math:`c`. A point is seen
    if no point of its square is nearer to the viewer by more than :math:`\tau`:

    .. math::
        p_i \cdot d \ge \max_{j \in \text{square}(i)} p_j \cdot d - \tau

    Squares a little wider than the distance between neighbouring points close the surface; narrower
    ones let what is behind shine through. A few operations for all clouds together, for training;
    :func:`~mgic_geo.transforms.corruptions.hide_points` is slower and needs no square.

    Args:
        pos: Clouds ``[B, n, 3]``.
        direction: From each cloud to its viewer, ``[B, 3]``, of any length but 0.
        cell: The side :math:`c`, in the units of ``pos``.
        tolerance: The depth :math:`\tau`; the side if not given.

    Returns:
        bool ``[B, n]``.

    Raises:
        DataError: Shapes other than these, or a side that is not positive.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms import visible_points
        >>> near_and_far = torch.tensor([[[0.0, 0.0, 0.5], [0.0, 0.0, -0.5]]])
        >>> visible_points(near_and_far, torch.tensor([[0.0, 0.0, 1.0]]))
        tensor([[ True, False]])
    """
    if pos.dim() != 3 or pos.size(2) != 3 or direction.shape != (pos.size(0), 3):
        raise DataError(
            f"pos must be [B, n, 3] and direction [B, 3], got {list(pos.shape)} and "
            f"{list(direction.shape)}"
        )
    if not cell > 0.0:
        raise DataError(f"cell = {cell}: it must be positive")
    towards, across, upwards = _frame(direction)
    depth = (pos * towards[:, None]).sum(dim=2)
    plane = torch.stack([(pos * v[:, None]).sum(dim=2) for v in (across, upwards)], dim=2)
    low = plane.amin(dim=1, keepdim=True)
    place = ((plane - low) / cell).long()
    wide = int(place.max()) + 1 if place.numel() else 1
    square = place[..., 0] * wide + place[..., 1]
    nearest = depth.new_full((pos.size(0), wide * wide), -math.inf)
    nearest = nearest.scatter_reduce(1, square, depth, "amax")
    return depth >= nearest.gather(1, square) - (cell if tolerance is None else tolerance)


def view_directions(
    count: int,
    generator: torch.Generator | None = None,
    elevation: tuple[float, float] = (-10.0, 60.0),
    up: int = 2,
) -> Tensor:
    """Directions to viewers at any azimuth.

    Args:
        count: How many.
        generator: Source of all draws; torch's global one if not given.
        elevation: Lowest and highest angle above the ground, in degrees; uniform between them.
        up: The vertical axis (0, 1 or 2).

    Returns:
        Unit vectors ``[count, 3]``.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms import view_directions
        >>> view_directions(2, torch.Generator().manual_seed(0), elevation=(90.0, 90.0))[:, 2]
        tensor([1., 1.])
    """
    device = None if generator is None else generator.device
    azimuth, height = torch.rand(2, count, generator=generator, device=device)
    azimuth = 2.0 * math.pi * azimuth
    height = torch.deg2rad(elevation[0] + (elevation[1] - elevation[0]) * height)
    axes = [height.cos() * azimuth.cos(), height.cos() * azimuth.sin()]
    axes.insert(up, height.sin())
    return torch.stack(axes, dim=1)


def _frame(direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Three orthonormal vectors, the first along the direction."""
    towards = torch.nn.functional.normalize(direction, dim=1)
    axis = torch.zeros_like(towards)
    axis.scatter_(1, towards.abs().argmin(dim=1, keepdim=True), 1.0)
    across = torch.nn.functional.normalize(torch.linalg.cross(axis, towards), dim=1)
    return towards, across, torch.linalg.cross(towards, across)
