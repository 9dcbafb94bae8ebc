"""Classes of data and of weights, matched by their names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mgic_geo.errors import DataError


def match_classes(classes: Sequence[str], known: Sequence[str], data: str) -> Tensor:
    """The index in ``known`` of each of the classes of a data set.

    Raises:
        DataError: The weights do not know one of them.
    """
    if unknown := [name for name in classes if name not in known]:
        raise DataError(
            f"{data}: the weights do not know {', '.join(unknown)}; they know {', '.join(known)}"
        )
    return torch.tensor([known.index(name) for name in classes])
