"""A harder part to judge by: shapes that have no near copy among those that are trained on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from mgic_geo.graph import knn

FOLDS = 5
_CELLS = 10  # of the occupancy that finds candidates
_CANDIDATES = 4
_PAIRS = 256  # pairs of clouds that are compared at once


def novel_split(
    points: Tensor,
    labels: Tensor,
    names: Sequence[str],
    fold: int = 0,
    folds: int = FOLDS,
    share: float = 0.5,
) -> tuple[Tensor, Tensor]:
    r"""Holds a block of names of each class out, and judges by the novel half of it.

    Collections of models hold families: variants of one piece of furniture, which a split by name
    parts only where it cuts. Fold :math:`f` of :math:`F` holds the shapes
    :math:`\lfloor f n_c / F \rfloor` to :math:`\lfloor (f + 1) n_c / F \rfloor` by name of each
    class out of training. Of these, the :math:`\lceil s\, m_c \rceil` that are farthest from the
    nearest training shape of their class are judged; the others have a near copy there, and are
    neither trained on nor judged. The distance is the mean of the two one-sided mean distances to
    the nearest point (Chamfer), taken to the best of four candidates that a coarse occupancy of
    space finds.

    Args:
        points: Normalised clouds ``[M, n, 3]``, in the unit sphere.
        labels: Class index of each, ``[M]``.
        names: Their names.
        fold: Which block, from 0.
        folds: Number of blocks :math:`F`.
        share: Share :math:`s` of a block that is judged; 1 for plain cross-validation.

    Returns:
        Indices for training and for judging, each ascending int64.

    Raises:
        ValueError: No such fold, a share outside of (0, 1], lengths that differ.
    """
    if folds < 2 or not 0 <= fold < folds:
        raise ValueError(f"fold = {fold}: with folds = {folds} it must be in [0, {folds - 1}]")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share = {share}: it must be in (0, 1]")
    if not len(points) == len(labels) == len(names):
        raise ValueError(f"{len(points)} clouds, {len(labels)} labels and {len(names)} names")
    train: list[Tensor] = []
    judged: list[Tensor] = []
    for label in labels.unique().tolist():
        members = sorted((labels == label).nonzero().flatten().tolist(), key=lambda i: names[i])
        start, stop = fold * len(members) // folds, (fold + 1) * len(members) // folds
        held = torch.tensor(members[start:stop], dtype=torch.int64)
        rest = torch.tensor(members[:start] + members[stop:], dtype=torch.int64)
        train.append(rest)
        if share < 1.0 and len(held) and len(rest):
            distance = distance_to_nearest(points[held], points[rest])
            count = -int(-share * len(held) // 1)
            held = held[distance.argsort(descending=True, stable=True)[:count]]
        judged.append(held)
    return torch.cat(train).sort().values, torch.cat(judged).sort().values


def distance_to_nearest(points: Tensor, others: Tensor) -> Tensor:
    """Chamfer distance of each cloud ``[A, n, 3]`` to the nearest of ``others [B, n, 3]``, ``[A]``.

    Exact for the candidates of a coarse occupancy, so an upper bound of the true one.
    """
    count = min(_CANDIDATES, len(others))
    apart = torch.cdist(_occupancy(points), _occupancy(others))
    near = apart.topk(count, dim=1, largest=False).indices.flatten()
    own = torch.arange(len(points)).repeat_interleave(count)
    found = [
        _chamfer(points[a], others[b])
        for a, b in zip(own.split(_PAIRS), near.split(_PAIRS), strict=True)
    ]
    return torch.cat(found).view(-1, count).amin(dim=1)


def _chamfer(x: Tensor, y: Tensor) -> Tensor:
    """Of pairs of clouds ``[P, n, 3]``, ``[P]``."""
    pairs, size = x.shape[:2]
    cloud = torch.arange(pairs).repeat_interleave(size)
    x, y = x.reshape(-1, 3), y.reshape(-1, 3)
    total = torch.zeros(pairs)
    for a, b in ((x, y), (y, x)):
        node, nearest = knn(a, b, 1, cloud, cloud)
        total += (b[node] - a[nearest]).norm(dim=1).view(pairs, size).mean(dim=1)
    return total / 2.0


def _occupancy(points: Tensor) -> Tensor:
    """Square roots of the shares of a cloud in the cells of a grid, linear between them."""
    place = ((points + 1.0) / 2.0 * (_CELLS - 1)).clamp(0.0, _CELLS - 1 - 1e-4)
    corner = place.floor()
    upper = place - corner
    shares = points.new_zeros(len(points), _CELLS**3)
    for steps in itertools.product((0, 1), repeat=3):
        step = torch.tensor(steps)
        weight = torch.where(step == 1, upper, 1.0 - upper).prod(dim=2)
        x, y, z = (corner.long() + step).unbind(dim=2)
        shares.scatter_add_(1, (x * _CELLS + y) * _CELLS + z, weight)
    return (shares / points.size(1)).sqrt()
