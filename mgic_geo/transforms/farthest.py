"""Farthest-point sampling, exact and the same with every backend."""

from __future__ import annotations

from torch import Tensor

from mgic_geo.kernels import farthest_points


def farthest_point_sample(
    pos: Tensor, num_points: int, seed: int = 0, batch: Tensor | None = None
) -> Tensor:
    r"""Picks points one by one, each the farthest from those picked before.

    :math:`i_{t+1} = \arg\max_i \min_{s \le t} \lVert p_i - p_{i_s} \rVert`, exactly and in double
    precision; the first is random, ties go to the smaller index, and no index comes twice. Compiled
    or in plain torch: same result. (PyG's ``fps`` needs ``pyg-lib``.)

    Args:
        pos: Points, ``[N, D]``.
        num_points: Number of points to pick from each cloud.
        seed: Decides the first point; a cloud's result does not depend on its batch.
        batch: Sorted cloud index of each point, ``[N]``; one cloud if not given.

    Returns:
        Indices into ``pos``, ``[B * num_points]``, cloud after cloud, in the order of picking.

    Raises:
        DataError: A cloud with fewer points than asked for, or coordinates that are not finite.

    Example:
        >>> import torch
        >>> from mgic_geo.transforms import farthest_point_sample
        >>> pos = torch.tensor([[0.0], [0.1], [1.0], [0.9], [0.45]])
        >>> picked = farthest_point_sample(pos, num_points=3)
        >>> len(set(picked.tolist())), bool((pos[picked] == 0.45).any())  # both ends and the middle
        (3, True)
    """
    return farthest_points(pos, num_points, seed, batch)
