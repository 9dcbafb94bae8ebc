"""Solid primitives as closed triangle meshes, faces outward; all are lofts through rings.

Lengths are metres; x is the width, y the depth (the front is at -y), z is up. A solid is made
centred in x and y with its foot at z = 0, then turned and moved into place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = "npt.NDArray[np.float64]"
Ints: TypeAlias = "npt.NDArray[np.int64]"
Point: TypeAlias = "tuple[float, float, float]"
T = TypeVar("T")


class Dice:
    """The three draws that the shapes are made of."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self._rng.random())

    def whole(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""
        return min(int(self.between(low, high + 1)), high)

    def chance(self, probability: float) -> bool:
        return float(self._rng.random()) < probability

    def pick(self, *options: T) -> T:
        return options[self.whole(0, len(options) - 1)]


@dataclass(frozen=True)
class Solid:
    """Vertices ``[V, 3]``, triangles ``[F, 3]`` and what it is; every change gives a new solid."""

    vertices: Floats
    faces: Ints
    part: str = ""

    def of(self, part: str) -> Solid:
        """The same as this part of a piece."""
        return Solid(self.vertices, self.faces, part)

    def at(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Solid:
        return Solid(self.vertices + np.array([x, y, z]), self.faces, self.part)

    def turn(self, degrees: float, axis: int = 2) -> Solid:
        """Rotates, right-handed, about a coordinate axis through the origin."""
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        first, second = (axis + 1) % 3, (axis + 2) % 3
        vertices = self.vertices.copy()
        vertices[:, first] = cos * self.vertices[:, first] - sin * self.vertices[:, second]
        vertices[:, second] = sin * self.vertices[:, first] + cos * self.vertices[:, second]
        return Solid(vertices, self.faces, self.part)

    def stretch(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Solid:
        """Scales the axes; an odd number of negative factors keeps the faces outward."""
        faces = self.faces if x * y * z > 0 else self.faces[:, ::-1]
        return Solid(self.vertices * np.array([x, y, z]), faces, self.part)


def join(solids: Iterable[Solid]) -> Solid:
    """All solids as one mesh; overlaps stay, as in most furniture models on the web."""
    solids = list(solids)
    offsets = np.cumsum([0] + [len(solid.vertices) for solid in solids[:-1]])
    return Solid(
        np.concatenate([solid.vertices for solid in solids]),
        np.concatenate([solid.faces + offset for solid, offset in zip(solids, offsets)]),
    )


def named(part: str, solids: Iterable[Solid]) -> list[Solid]:
    """The solids, those without a part as this one."""
    return [solid if solid.part else solid.of(part) for solid in solids]


def both(*solids: Solid) -> list[Solid]:
    """The solids and their mirror images left and right."""
    return [side for solid in solids for side in (solid, solid.stretch(x=-1.0))]


def four(*solids: Solid) -> list[Solid]:
    """The solids in all four corners."""
    return [side for solid in both(*solids) for side in (solid, solid.stretch(y=-1.0))]


def loft(rings: Floats, closed: bool = False) -> Solid:
    """Joins rings ``[R, M, 3]``, counter-clockwise about the way from the first to the last.

    The ends are capped by fans about the middle, right for outlines that the middle sees whole;
    ``closed`` joins the last ring to the first instead.
    """
    count, size = rings.shape[:2]
    index = np.arange(count * size, dtype=np.int64).reshape(count, size)
    low, high = (index, np.roll(index, -1, axis=0)) if closed else (index[:-1], index[1:])
    low_next, high_next = np.roll(low, -1, axis=1), np.roll(high, -1, axis=1)
    sides = [
        np.stack([low, low_next, high_next], axis=-1).reshape(-1, 3),
        np.stack([low, high_next, high], axis=-1).reshape(-1, 3),
    ]
    vertices = rings.reshape(-1, 3)
    if not closed:
        vertices = np.concatenate([vertices, rings[[0, -1]].mean(axis=1)])
        foot, top = np.full(size, count * size), np.full(size, count * size + 1)
        sides.append(np.stack([foot, low_next[0], low[0]], axis=-1))
        sides.append(np.stack([top, index[-1], np.roll(index[-1], -1)], axis=-1))
    return Solid(vertices, np.concatenate(sides))


_CORNERS = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


def box(w: float, d: float, h: float, foot: float = 1.0) -> Solid:
    """A box; ``foot`` scales its lower face."""
    rings = np.zeros((2, 4, 3))
    rings[:, :, :2] = _CORNERS * np.array([w, d])
    rings[0, :, :2] *= foot
    rings[1, :, 2] = h
    return loft(rings)


def outline(w: float, d: float, exponent: float = 2.0, points: int = 20) -> Floats:
    """A superellipse ``[points, 2]``: 2 is an ellipse, 5 and more a box with round corners."""
    # Half a step off the axes, so that the corners of boxy outlines are met.
    angle = 2.0 * np.pi * (np.arange(points) + 0.5) / points
    unit = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rounded: Floats = np.sign(unit) * np.abs(unit) ** (2.0 / exponent) * np.array([w, d]) / 2.0
    return rounded


def stack(*levels: Sequence[float], points: int = 20) -> Solid:
    """A loft through outlines; a level is (w, d, z), then its y and its exponent if need be.

    Going up outside and down inside makes a bowl.
    """
    rings = np.zeros((len(levels), points, 3))
    for ring, (w, d, z, *rest) in zip(rings, levels):
        ring[:, :2] = outline(w, d, rest[1] if len(rest) > 1 else 2.0, points)
        ring[:, 1] += rest[0] if rest else 0.0
        ring[:, 2] = z
    return loft(rings)


def rod(radius: float, h: float, top: float | None = None, points: int = 10) -> Solid:
    """A cylinder, or a frustum of a cone."""
    upper = radius if top is None else top
    return stack((2 * radius, 2 * radius, 0.0), (2 * upper, 2 * upper, h), points=points)


def cushion(w: float, d: float, h: float, edge: float = 0.3, exponent: float = 6.0) -> Solid:
    """A box with soft edges, rounded by ``edge * h``."""
    soft = min(edge * h, 0.3 * w, 0.3 * d)
    inner = (w - 2.0 * soft, d - 2.0 * soft)
    return stack(
        (*inner, 0.0, 0.0, exponent),
        (w, d, soft, 0.0, exponent),
        (w, d, h - soft, 0.0, exponent),
        (*inner, h, 0.0, exponent),
    )


def sweep(
    path: Sequence[Point] | Floats, section: Floats, side: Point, closed: bool = False
) -> Solid:
    """Carries a section ``[M, 2]`` along a path in a plane; ``side`` is the plane's normal.

    The section's first axis lies in the plane, its second along the normal.
    """
    points = np.asarray(path, dtype=np.float64)
    if closed:
        ahead = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    else:
        step = np.diff(points, axis=0)
        step /= np.linalg.norm(step, axis=1, keepdims=True)
        ahead = np.concatenate([step[:1], step[:-1] + step[1:], step[-1:]])
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    across = np.cross(np.asarray(side), ahead)
    rings = points[:, None] + section[:, :1] * across[:, None]
    # across x (ahead x across) = ahead: the ring runs counter-clockwise about the way.
    return loft(rings + section[:, 1:] * np.cross(ahead, across)[:, None], closed)


def tube(path: Sequence[Point] | Floats, radius: float, side: Point, closed: bool = False) -> Solid:
    """A bent round bar."""
    return sweep(path, outline(2 * radius, 2 * radius, points=8), side, closed)


def band(
    path: Sequence[Point] | Floats, thick: float, wide: float, side: Point, closed: bool = False
) -> Solid:
    """A bent flat bar, ``thick`` in the plane of the path and ``wide`` across it."""
    return sweep(path, _CORNERS * np.array([thick, wide]), side, closed)


def arc(rx: float, ry: float, start: float, end: float, points: int = 9) -> Floats:
    """Points ``[points, 2]`` of an ellipse from ``start`` to ``end`` degrees."""
    angle = np.radians(np.linspace(start, end, points))
    curve: Floats = np.stack([rx * np.cos(angle), ry * np.sin(angle)], axis=1)
    return curve
