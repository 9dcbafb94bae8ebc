"""The score whose changes are importance, and how many points a network can do without."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mgic_geo.errors import DataError


def log_odds(logits: Tensor, label: int) -> Tensor:
    r"""Log-odds of a class, :math:`\log p_c - \log (1 - p_c)`, of logits ``[B, C]``.

    Unlike the probability they do not stand still where a network is certain.
    """
    others = logits.clone()
    others[:, label] = -torch.inf
    return logits[:, label] - others.logsumexp(dim=1)


def check_left(model: nn.Module, left: int, points: int) -> None:
    """Whether the network takes clouds of the ``left`` points that remain.

    Raises:
        DataError: It needs more.
    """
    least = int(getattr(model, "min_points", 1))
    if left < least:
        raise DataError(
            f"{left} of {points} points would be left, and the network needs {least}: explain a "
            "cloud of more points"
        )


def check_cloud(points: Tensor, importance: Tensor | None = None) -> None:
    """Whether this is a cloud ``[n, >= 3]``, with importances ``[n]`` if there are some.

    Raises:
        ValueError: It is not.
    """
    if points.dim() != 2 or points.size(1) < 3:
        raise ValueError(f"points must be [n, >= 3], got {list(points.shape)}")
    if importance is not None and importance.shape != points.shape[:1]:
        raise ValueError(
            f"importance must be [{points.size(0)}], a number a point, got {list(importance.shape)}"
        )
