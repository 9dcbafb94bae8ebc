"""Mixing of the clouds of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.errors import DataError


def cut_mix_clouds(
    pos: Tensor, generator: torch.Generator | None = None, rigid: bool = False
) -> tuple[Tensor, Tensor, float]:
    r"""Replaces a region of every cloud by what another cloud of the batch has there.

    Around a random point :math:`c` of the cloud :math:`P`, the :math:`\lambda n` points of
    :math:`P` that are nearest to :math:`c` give way to the :math:`\lambda n` nearest points of its
    partner, as CutMix does with images (`Yun et al. 2019 <https://arxiv.org/abs/1905.04899>`_) and
    `PointCutMix <https://arxiv.org/abs/2101.01461>`_ with clouds. The target of the result is
    :math:`(1 - \lambda)\,y + \lambda\,y_{\text{partner}}`.

    With ``rigid`` the region of the partner is around a point of its own and is moved to :math:`c`
    as it is, as in `RSMix <https://arxiv.org/abs/2102.01929>`_: a whole part of another shape in
    the place of one of this.

    Args:
        pos: Clouds, ``[B, n, 3]`` with ``n >= 2``, or ``[B, n, 3 + F]`` with features behind the
            coordinates.
        generator: Source of all draws; torch's global one if not given.
        rigid: Take a part of the partner and move it, not what the partner has there.

    Returns:
        The clouds in the shape of ``pos``, own points first; the partner of each, ``[B]``, a
        permutation that may leave a cloud to itself; and the share :math:`\lambda`, uniform in
        (0, 1) and one for the batch, so that it stays dense.

    Raises:
        DataError: A shape other than ``[B, n, 3 + F]``, or a single point.

    Example:
        >>> import torch
        >>> import torch.nn.functional as F
        >>> from mgic_geo.transforms import cut_mix_clouds
        >>> pos, label = torch.rand(4, 32, 3), torch.tensor([0, 1, 2, 0])
        >>> mixed, partner, share = cut_mix_clouds(pos, torch.Generator().manual_seed(0))
        >>> logits = torch.randn(4, 3)  # what a network gives for ``mixed``
        >>> own, other = F.cross_entropy(logits, label), F.cross_entropy(logits, label[partner])
        >>> loss = (1.0 - share) * own + share * other
    """
    if pos.dim() != 3 or pos.size(2) < 3 or pos.size(1) < 2:
        raise DataError(f"pos must be [B, n, 3 + F] with at least 2 points, got {list(pos.shape)}")
    size, count = pos.shape[:2]
    device = pos.device if generator is None else generator.device
    uniform = torch.rand(size + 1, generator=generator, device=device)
    partner = torch.randperm(size, generator=generator, device=device).to(pos.device)
    taken = min(max(round(float(uniform[size]) * count), 1), count - 1)
    start = (uniform[:size] * count).long().clamp_(max=count - 1).to(pos.device)
    rows = torch.arange(size, device=pos.device)
    center = pos[rows, start, None]
    own = _by_distance(pos, center)[:, taken:]
    given = pos[partner]
    there = given[rows, start[partner], None] if rigid else center
    other = _by_distance(given, there)[:, :taken]
    if rigid:
        move = (center - there)[..., :3]
        other = torch.cat([other[..., :3] + move, other[..., 3:]], dim=2)
    return torch.cat([own, other], dim=1), partner, taken / count


def _by_distance(pos: Tensor, center: Tensor) -> Tensor:
    """Clouds ``[B, n, 3 + F]``, the points that are nearest to ``center [B, 1, 3 + F]`` first."""
    order = (pos - center)[..., :3].square().sum(dim=2).argsort(dim=1)
    return pos.gather(1, order[..., None].expand_as(pos))
