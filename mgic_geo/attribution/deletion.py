"""Whether importances are right: what goes when the most important points go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ._score import check_cloud, check_left

FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Deletion:
    """Probability of a class while points are taken away.

    Args:
        whole: Of the whole cloud.
        fractions: Shares of the points that were taken away.
        important: Without the most important ones.
        random: Without as many random ones, a mean.

    Example:
        >>> from mgic_geo.attribution import Deletion
        >>> round(Deletion(0.9, (0.1, 0.2), important=(0.5, 0.1), random=(0.9, 0.9)).gain, 3)
        0.6
    """

    whole: float
    fractions: tuple[float, ...]
    important: tuple[float, ...]
    random: tuple[float, ...]

    @property
    def gain(self) -> float:
        """How much lower the first curve lies, in the mean; 0 for importances that say nothing."""
        return (sum(self.random) - sum(self.important)) / len(self.fractions)


def deletion_test(
    model: nn.Module,
    points: Tensor,
    importance: Tensor,
    label: int,
    *,
    fractions: Sequence[float] = FRACTIONS,
    draws: int = 8,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Deletion:
    """Takes the most important points away first, and beside that as many random ones.

    Where importances are right, the probability of the class falls faster than without random
    points. The deletion metric of `RISE <https://arxiv.org/abs/1806.07421>`_, on points.

    Args:
        model: Gives logits ``[B, C]`` of clouds ``[B, n, 3 + F]``; it goes to evaluation mode.
        points: One cloud ``[n, 3 + F]``, centred and scaled as the model expects.
        importance: Importances ``[n]``.
        label: The class, as its index.
        fractions: Shares of the points to take away.
        draws: Random choices, whose mean is taken.
        seed: Their seed.
        device: Where the model is.

    Returns:
        Both curves.

    Raises:
        DataError: Too few points would be left for the network.
        ValueError: No fraction, or one out of (0, 1); shapes that do not fit.

    Example:
        >>> import torch
        >>> from mgic_geo.attribution import deletion_test
        >>> from mgic_geo.models import load_model
        >>> model, info = load_model("modelnet10-mgic-diffgcn")
        >>> points = torch.rand(64, 3) - 0.5
        >>> found = deletion_test(model, points, points[:, 2], label=2, fractions=[0.1], draws=2)
        >>> len(found.important), len(found.random)
        (1, 1)
    """
    from mgic_geo.training.evaluate import predict_logits

    check_cloud(points, importance)
    if not fractions or draws < 1 or not all(0.0 < share < 1.0 for share in fractions):
        raise ValueError(f"fractions = {list(fractions)} must be in (0, 1), draws = {draws} >= 1")
    points = points.detach().float().cpu()
    count = points.size(0)
    check_left(model, count - round(max(fractions) * count), count)
    draw = torch.Generator().manual_seed(seed)
    order = importance.detach().cpu().argsort(descending=True, stable=True)
    orders = torch.stack([order, *(torch.randperm(count, generator=draw) for _ in range(draws))])

    def probability(clouds: Tensor) -> Tensor:
        return predict_logits(model, clouds, device).softmax(dim=1)[:, label]

    found = [
        probability(points[orders[:, round(share * count) :].sort(dim=1).values])
        for share in fractions
    ]
    return Deletion(
        float(probability(points[None])),
        tuple(fractions),
        tuple(float(p[0]) for p in found),
        tuple(float(p[1:].mean()) for p in found),
    )
