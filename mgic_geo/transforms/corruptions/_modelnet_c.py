"""The seven kinds of ModelNet-C."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mgic_geo.transforms.deform import euler_rotation
from mgic_geo.transforms.normalize import normalize_sphere

LOCAL = (100, 200, 300, 400, 500)
_PARTS = 8
_FULL = 1024  # points that the counts above are of; of other clouds the same share is taken


def scale(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    most = (1.6, 1.7, 1.8, 1.9, 2.0)[severity]
    factors = 1.0 / most + (most - 1.0 / most) * _uniform(3, generator).to(pos)
    return normalize_sphere(pos * factors)


def jitter(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    sigma = (0.01, 0.02, 0.03, 0.04, 0.05)[severity]
    return pos + sigma * _normal(pos.shape, generator).to(pos)


def rotate(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    most = math.pi / (30.0, 15.0, 10.0, 7.5, 6.0)[severity]
    angles = most * (2.0 * _uniform(3, generator) - 1.0)
    return pos @ euler_rotation(angles).to(pos).T


def drop_global(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    share = (0.25, 0.375, 0.5, 0.675, 0.75)[severity]
    order = torch.randperm(len(pos), generator=generator)
    return pos[order[: max(round((1.0 - share) * len(pos)), 1)]]


def drop_local(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    for count in _parts(pos, severity, generator):
        center = pos[int(torch.randint(len(pos), (), generator=generator))]
        order = (pos - center).square().sum(dim=1).argsort()
        pos = pos[order[min(count, len(pos) - 1) :].sort().values]
    return pos


def add_global(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    count = round((10, 20, 30, 40, 50)[severity] * len(pos) / _FULL)
    away = torch.nn.functional.normalize(_normal((count, 3), generator), dim=1)
    radius = torch.rand(count, 1, generator=generator) ** (1.0 / 3.0)
    return torch.cat([pos, (away * radius).to(pos)])


def add_local(pos: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    counts = _parts(pos, severity, generator)
    centers = pos[torch.randperm(len(pos), generator=generator)[: len(counts)]]
    added = [pos]
    for center, count in zip(centers, counts):
        sigma = 0.075 + 0.05 * float(torch.rand((), generator=generator))
        added.append(center + sigma * _normal((count, 3), generator).to(pos))
    return torch.cat(added)


def _parts(pos: Tensor, severity: int, generator: torch.Generator) -> list[int]:
    """The sizes of one to eight parts, which have all points of the severity between them."""
    total = round(LOCAL[severity] * len(pos) / _FULL)
    parts = 1 + int(torch.randint(_PARTS, (), generator=generator))
    which = torch.randint(parts, (total,), generator=generator)
    return torch.bincount(which, minlength=parts).tolist()


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


KINDS: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "scale": scale,
    "jitter": jitter,
    "drop_global": drop_global,
    "drop_local": drop_local,
    "add_global": add_global,
    "add_local": add_local,
    "rotate": rotate,
}
