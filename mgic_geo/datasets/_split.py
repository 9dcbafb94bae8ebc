"""The part of the training data that chooses the epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def train_val_split(
    labels: Tensor | Sequence[int] | None, names: Sequence[str], fraction: float = 1 / 8
) -> tuple[Tensor, Tensor]:
    r"""Puts the last :math:`\lfloor n_c f \rfloor` shapes by name of each class aside.

    Neighbouring names are often variants of one model, so a random part would hold near copies of
    what is trained on. A class with more than one shape gives at least one.

    Args:
        labels: Class index of each shape or image, ``[M]``; :obj:`None` for images whose pixels
            are labelled: all of them are one class then.
        names: Their names.
        fraction: Share :math:`f` of each class, in ``[0, 1)``; 0 puts nothing aside.

    Returns:
        Indices for training ``[M']`` and for validation ``[M'']``, ascending, int64.

    Raises:
        ValueError: ``fraction`` is out of range, or the lengths differ.

    Example:
        >>> from mgic_geo.datasets import train_val_split
        >>> names = ["chair_1", "chair_2", "chair_3", "sofa_1", "sofa_2"]
        >>> train, val = train_val_split([0, 0, 0, 1, 1], names, fraction=1 / 3)
        >>> train.tolist(), val.tolist()  # the last chair and the last sofa
        ([0, 1, 3], [2, 4])
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction must be in [0, 1), got {fraction}")
    labels = torch.as_tensor([0] * len(names) if labels is None else labels)
    if len(labels) != len(names):
        raise ValueError(f"{len(labels)} labels, but {len(names)} names")
    train: list[int] = []
    validation: list[int] = []
    for label in labels.unique().tolist():
        members = sorted((labels == label).nonzero().flatten().tolist(), key=lambda i: names[i])
        aside = math.floor(len(members) * fraction)
        if fraction > 0 and len(members) > 1:
            aside = max(aside, 1)
        train += members[: len(members) - aside]
        validation += members[len(members) - aside :]
    return torch.tensor(sorted(train)).long(), torch.tensor(sorted(validation)).long()
