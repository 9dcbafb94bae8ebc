"""Importance of points by leaving parts of a cloud away."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._score import check_cloud, check_left, log_odds


def occlusion(
    model: nn.Module,
    points: Tensor,
    label: int,
    *,
    parts: int = 32,
    share: float = 0.125,
    rounds: int = 2,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Tensor:
    r"""How much the log-odds of a class fall where the neighbourhood of a point is left away.

    Each round spreads centres over the cloud, farthest points from a random first one, and takes
    away the :math:`m` points around each. The importance of point :math:`i` is the mean over the
    parts :math:`P` that it belongs to,

    .. math::
        a_i = \operatorname{mean}_{P \ni i} \left( s(X) - s(X \setminus P) \right), \qquad
        s = \log p_c - \log (1 - p_c)

    Points are taken away, not moved, so graphs are built of what is left. The network may be a
    black box, an exported one for example. The method is that of `Zeiler and Fergus
    <https://arxiv.org/abs/1311.2901>`_ with parts of a cloud in place of patches.

    Args:
        model: Gives logits ``[B, C]`` of clouds ``[B, n, 3 + F]``; it goes to evaluation mode.
        points: One cloud ``[n, 3 + F]``, centred and scaled as the model expects.
        label: The class, as its index.
        parts: Parts in a round.
        share: Size of a part, as a share of the cloud.
        rounds: Rounds, each with other centres; the network judges ``parts * rounds + 1`` clouds.
        seed: Decides the first centres.
        device: Where the model is.

    Returns:
        Importances ``[n]``, float32 on the CPU; negative where points speak against the class.

    Raises:
        DataError: Too few points would be left for the network.
        ValueError: ``points`` is no cloud, or an option is out of its range.

    Example:
        >>> import torch
        >>> from mgic_geo.attribution import occlusion
        >>> from mgic_geo.models import load_model
        >>> model, info = load_model("modelnet10-mgic-diffgcn")
        >>> occlusion(model, torch.rand(64, 3) - 0.5, label=2, parts=4, rounds=1).shape
        torch.Size([64])
    """
    from mgic_geo.training.evaluate import predict_logits
    from mgic_geo.transforms import farthest_point_sample

    check_cloud(points)
    if parts < 1 or rounds < 1 or not 0.0 < share < 1.0:
        raise ValueError(
            f"parts = {parts} and rounds = {rounds} must be at least 1, share = {share} in (0, 1)"
        )
    points = points.detach().float().cpu()
    count = points.size(0)
    size = max(1, round(share * count))
    check_left(model, count - size, count)
    whole = log_odds(predict_logits(model, points[None], device), label)
    total, times = torch.zeros(count), torch.zeros(count)
    nearest, of_nearest = torch.full((count,), torch.inf), torch.zeros(count)
    for number in range(rounds * seed, rounds * (seed + 1)):
        centres = farthest_point_sample(points[:, :3], min(parts, count), number)
        far = torch.cdist(points[centres, :3], points[:, :3])
        order = far.argsort(dim=1, stable=True)
        kept = order[:, size:].sort(dim=1).values  # networks may read an order: it stays
        falls = whole - log_odds(predict_logits(model, points[kept], device), label)
        covered = torch.zeros_like(far).scatter_(1, order[:, :size], 1.0)
        total += falls @ covered
        times += covered.sum(dim=0)
        least, place = far.min(dim=0)
        of_nearest = torch.where(least < nearest, falls[place], of_nearest)
        nearest = torch.minimum(least, nearest)
    # a point that no part had follows the part around the nearest centre
    return torch.where(times > 0, total / times.clamp_min(1.0), of_nearest)
