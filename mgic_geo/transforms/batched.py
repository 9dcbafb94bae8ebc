"""Augmentation of whole training batches: a few dense operations for all clouds together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mgic_geo.errors import DataError


def augment_clouds(
    pos: Tensor,
    generator: torch.Generator | None = None,
    *,
    scale: tuple[float, float] | None = None,
    shift: float = 0.0,
    rotate_degrees: float = 0.0,
    flip: float = 0.0,
    jitter: float = 0.0,
    clip: float | None = None,
    tilt_degrees: float = 0.0,
    up: int = 2,
    normals: int | None = None,
) -> Tensor:
    r"""Applies an independent random change to every cloud of a dense batch.

    :math:`p_i' = R\,F\,(s \odot p_i) + t + \varepsilon_i` with a factor :math:`s` for each axis, a
    mirroring :math:`F` of the horizontal axes, a rotation :math:`R` about the up axis, a shift
    :math:`t` for each axis and noise :math:`\varepsilon_i` for each point. What is left at its
    default is off, and the per-cloud transforms of this package are this function for one cloud.

    Args:
        pos: Clouds, ``[B, n, 3]``; or ``[B, n, 3 + F]`` with features behind the coordinates, which
            stay as they are.
        generator: Source of all draws, made on the generator's own device: a CPU generator gives
            the same changes on every device. Torch's global one if not given.
        scale: Smallest and largest factor, drawn for each axis.
        shift: Largest absolute shift along each axis, in the units of ``pos``.
        rotate_degrees: Largest absolute angle about the up axis; 180 for any heading.
        flip: Probability of mirroring, for each horizontal axis.
        jitter: Standard deviation of the normal noise, in the units of ``pos``.
        clip: Largest absolute noise; not bounded if not given.
        tilt_degrees: Largest absolute angle about a random horizontal axis, after the rotation.
        up: The vertical axis (0, 1 or 2).
        normals: The first of the three features that are normals: they become
            :math:`R\,F\,(n_i / s)` and keep their length.

    Returns:
        New clouds ``[B, n, 3]`` or ``[B, n, 3 + F]``; ``pos`` is left as it was.

    Raises:
        DataError: A shape other than ``[B, n, 3 + F]``, or a range that makes no sense.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms import augment_clouds
        >>> clouds = torch.zeros(2, 5, 3)
        >>> augment_clouds(clouds, torch.Generator().manual_seed(0), shift=0.1).shape
        torch.Size([2, 5, 3])
    """
    if pos.dim() != 3 or pos.size(2) < 3:
        raise DataError(f"pos must be [B, n, 3 + F], got {list(pos.shape)}")
    pos, features = pos[..., :3], pos[..., 3:]
    if normals is not None and not 0 <= normals <= features.size(2) - 3:
        raise DataError(f"normals = {normals}: there are {features.size(2)} features")
    if scale is not None and not 0.0 < scale[0] <= scale[1]:
        raise DataError(f"scale must be 0 < low <= high, got {scale}")
    least = min(shift, rotate_degrees, flip, jitter, tilt_degrees)
    if least < 0.0 or flip > 1.0 or up not in (0, 1, 2):
        raise DataError(
            "shift, rotate_degrees, flip, jitter, tilt_degrees must be >= 0, flip <= 1 and up 0, 1 "
            f"or 2; got {shift}, {rotate_degrees}, {flip}, {jitter}, {tilt_degrees}, {up}"
        )
    device = pos.device if generator is None else generator.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        draw = torch.rand(pos.size(0), *shape, generator=generator, device=device)
        return (low + (high - low) * draw).to(pos)

    matrix = torch.eye(3, dtype=pos.dtype, device=pos.device).expand(pos.size(0), 3, 3)
    factors = None if scale is None else uniform(*scale, 1, 3)
    if factors is not None:
        matrix = matrix * factors
    if flip > 0.0:
        sign = torch.where(uniform(0.0, 1.0, 3) < flip, -1.0, 1.0).to(pos)
        sign[:, up] = 1.0
        matrix = matrix * sign[:, None]
    if rotate_degrees > 0.0:
        angle = uniform(-math.radians(rotate_degrees), math.radians(rotate_degrees))
        matrix = _rotation(angle, up) @ matrix
    if tilt_degrees > 0.0:
        angle = uniform(-math.radians(tilt_degrees), math.radians(tilt_degrees))
        axis = uniform(-math.pi, math.pi)
        tilt = _rotation(axis, up) @ _rotation(angle, (up + 1) % 3) @ _rotation(-axis, up)
        matrix = tilt @ matrix
    out = _apply(matrix, pos)
    if shift > 0.0:
        out = out + uniform(-shift, shift, 1, 3)
    if jitter > 0.0:
        noise = jitter * torch.randn(pos.shape, generator=generator, device=device).to(pos)
        out = out + (noise if clip is None else noise.clamp_(-clip, clip))
    if normals is not None:
        # The inverse transpose: R F S becomes R F S^-1.
        inverse = matrix if factors is None else matrix / factors.square()
        given = features[..., normals : normals + 3]
        turned = _apply(inverse, given)
        length = given.norm(dim=2, keepdim=True) / turned.norm(dim=2, keepdim=True).clamp_min(1e-12)
        before, after = features[..., :normals], features[..., normals + 3 :]
        features = torch.cat([before, turned * length, after], dim=2)
    return torch.cat([out, features], dim=2) if features.size(2) else out


def _apply(matrix: Tensor, vectors: Tensor) -> Tensor:
    """The product of each cloud's matrix ``[B, 3, 3]`` with its vectors ``[B, n, 3]``."""
    # Written out per axis: a batch of 3 x 3 products is slow as matmul, and rounds by batch size.
    out = vectors[..., 0, None] * matrix[:, None, :, 0]
    for axis in (1, 2):
        out = out + vectors[..., axis, None] * matrix[:, None, :, axis]
    return out


def subset_clouds(pos: Tensor, num_points: int, generator: torch.Generator | None = None) -> Tensor:
    """Keeps random points of every cloud of a dense batch, independently and without repeats.

    Args:
        pos: Clouds, ``[B, n, D]``.
        num_points: Number of points to keep, at most ``n``.
        generator: Source of all draws; torch's global one if not given.

    Returns:
        Clouds ``[B, num_points, D]``, in random order.

    Raises:
        DataError: More points asked for than there are, or fewer than one.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms import subset_clouds
        >>> subset_clouds(torch.rand(4, 100, 3), num_points=32).shape
        torch.Size([4, 32, 3])
    """
    if not 1 <= num_points <= pos.size(1):
        raise DataError(f"cannot keep {num_points} points of clouds with {pos.size(1)}")
    device = pos.device if generator is None else generator.device
    order = torch.rand(pos.shape[:2], generator=generator, device=device).argsort(dim=1)
    index = order[:, :num_points, None].to(pos.device)
    return pos.gather(1, index.expand(-1, -1, pos.size(2)))


def _rotation(angle: Tensor, axis: int) -> Tensor:
    """Right-handed rotations by ``angle [B]`` (radians) about a coordinate axis, ``[B, 3, 3]``."""
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.zeros(len(angle), 3, 3, dtype=angle.dtype, device=angle.device)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1.0
    matrix[:, first, first] = matrix[:, second, second] = cos
    matrix[:, first, second] = -sin
    matrix[:, second, first] = sin
    return matrix
