"""Kinds of scans: where they were taken from, and with what."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mgic_geo.transforms.normalize import normalize_sphere
from mgic_geo.transforms.visible import view_directions

from .hidden import hide_points

_CAMERA = 3.0  # radii from the centre


def heading(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    most = math.radians((15.0, 45.0, 90.0, 135.0, 180.0)[severity])
    angle = most * (2.0 * float(torch.rand((), generator=generator)) - 1.0)
    x, y, z = pos.unbind(1)
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], dim=1)


def up(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    x, y, z = pos.unbind(1)
    return torch.stack([(z, x, y), (y, z, x), (x, -y, -z), (-z, y, x), (x, -z, y)][severity], 1)


def view(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    cameras = _CAMERA * view_directions(5 - severity, generator).to(pos)
    seen = torch.stack([hide_points(pos, camera) for camera in cameras]).any(dim=0)
    return normalize_sphere(pos[seen])


def density(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    away = (3.0, 2.25, 1.75, 1.5, 1.25)[severity]
    camera = away * view_directions(1, generator).to(pos)
    weight = 1.0 / (pos - camera).square().sum(dim=1).clamp_min(1e-2)
    kept = torch.multinomial(weight.double().cpu(), max(len(pos) // 2, 1), generator=generator)
    return normalize_sphere(pos[kept.sort().values])


def quantise(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    step = (0.02, 0.04, 0.06, 0.08, 0.1)[severity]
    return (pos / step).round().unique(dim=0) * step


KINDS: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "heading": heading,
    "up": up,
    "view": view,
    "density": density,
    "quantise": quantise,
}
