"""The ten shape families as meshes and as files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mgic_geo.errors import DataError
from mgic_geo.io import Mesh, write_off

from ._cases import dresser, night_stand
from ._seats import bed, chair, sofa, toilet
from ._solids import Dice, Ints, Solid, join
from ._tops import bathtub, desk, monitor, table

_FAMILIES: dict[str, Callable[[Dice], list[Solid]]] = {
    "bathtub": bathtub,
    "bed": bed,
    "chair": chair,
    "desk": desk,
    "dresser": dresser,
    "monitor": monitor,
    "night_stand": night_stand,
    "sofa": sofa,
    "table": table,
    "toilet": toilet,
}
CLASSES = tuple(_FAMILIES)
# ModelNet-10 turns what stands along a wall to face -x, and the rest to face -y.
_FACING_X = frozenset({"desk", "dresser", "monitor", "night_stand", "sofa", "table"})
SPLITS = ("train", "test")
#: What the pieces are made of, whatever their class.
PARTS = (
    "arm",  # of chairs and sofas
    "back",  # of chairs and sofas; boards at the ends and sides of beds
    "basin",  # of bathtubs and toilets
    "body",  # cases, boxes of sofas, frames of beds, panels, shelves, hutches, aprons
    "drawer",  # fronts of drawers and doors, with their handles and boxes
    "leg",  # all that a piece stands on: legs, plinths, pedestals, stands, posts of beds
    "mattress",  # with blankets
    "other",  # things on a top, mirrors, faucets, grips, steps, walls, ladders, canopies
    "pillow",  # on beds and sofas
    "screen",  # of monitors
    "seat",  # of chairs and sofas; seats and lids of toilets
    "tank",  # of toilets
    "top",  # of tables, desks, dressers and night stands
)


def furniture_mesh(class_name: str, seed: int | Sequence[int] | np.random.Generator = 0) -> Mesh:
    """Makes one piece of furniture out of overlapping closed solids.

    Style and proportions are drawn first; then, as in collections from the web, every axis is
    stretched a little, and one piece in twelve faces elsewhere.

    Args:
        class_name: One of the ten classes of ModelNet-10.
        seed: Decides the shape: an integer, several, or a generator that is advanced.

    Returns:
        A mesh in metres, z up, standing on z = 0, with the heading that its class has in
        ModelNet-10: the front of beds, chairs and toilets towards -y, of the others towards -x.

    Raises:
        DataError: An unknown class.

    Example:
        >>> furniture_mesh("chair", seed=3).vertices.shape[1]
        3
    """
    return furniture_parts(class_name, seed)[0]


def furniture_parts(
    class_name: str, seed: int | Sequence[int] | np.random.Generator = 0
) -> tuple[Mesh, Ints]:
    """The mesh of :func:`furniture_mesh`, and the part of each of its faces.

    Args:
        class_name: One of the ten classes of ModelNet-10.
        seed: Decides the shape, as there.

    Returns:
        The mesh, and the part of each face, int64 ``[F]``, as a number in
        :data:`~mgic_geo.datasets.furniture.FURNITURE_PARTS`.

    Raises:
        DataError: An unknown class.

    Example:
        >>> from mgic_geo.datasets.furniture import FURNITURE_PARTS, furniture_parts
        >>> mesh, part = furniture_parts("table", seed=3)
        >>> len(part) == len(mesh.faces), sorted({FURNITURE_PARTS[i] for i in part})
        (True, ['leg', 'other', 'top'])
    """
    if class_name not in _FAMILIES:
        raise DataError(f"unknown class '{class_name}'; there are {', '.join(CLASSES)}")
    dice = Dice(np.random.default_rng(seed))
    solids = _FAMILIES[class_name](dice)
    part = np.repeat([PARTS.index(s.part) for s in solids], [len(s.faces) for s in solids])
    solid = join(solids)
    solid = solid.stretch(*(float(np.exp(dice.between(-0.16, 0.16))) for _ in range(3)))
    heading = -90.0 if class_name in _FACING_X else 0.0
    if dice.chance(1.0 / 12.0):
        heading += dice.pick(90.0, 180.0, 270.0)
    if heading != 0.0:
        solid = solid.turn(heading)
    return Mesh(solid.at(z=-float(solid.vertices[:, 2].min())).vertices, solid.faces), part


def shape_seed(seed: int, split: str, class_index: int, number: int) -> list[int]:
    """The seed of one shape of a data set; no two shapes, and so no two splits, share one."""
    return [seed, SPLITS.index(split), class_index, number]


def write_off_tree(
    folder: str | os.PathLike[str], train: int = 60, test: int = 20, seed: int = 0
) -> list[Path]:
    """Writes shapes as ``<class>/<split>/<class>_0001.off``, the layout of ModelNet-10.

    They are the meshes that :class:`Furniture10` with the same seed draws its points from.

    Args:
        folder: Where to; made where it is missing.
        train: Shapes a class in the training split.
        test: Shapes a class in the test split.
        seed: Decides all shapes.

    Returns:
        The files, class by class.
    """
    paths = []
    for index, name in enumerate(CLASSES):
        for split, count in zip(SPLITS, (train, test)):
            for number in range(1, count + 1):
                path = Path(folder) / name / split / f"{name}_{number:04d}.off"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_off(path, furniture_mesh(name, shape_seed(seed, split, index, number)))
                paths.append(path)
    return paths
