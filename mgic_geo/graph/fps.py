"""Farthest-point sampling with the name and arguments of PyG and torch-cluster."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.kernels import farthest_points


def fps(
    x: Tensor,
    batch: Tensor | None = None,
    ratio: float | Tensor | None = 0.5,
    random_start: bool = True,
    batch_size: int | None = None,
    ptr: Tensor | list[int] | None = None,
) -> Tensor:
    r"""Picks a share of each cloud, point by point, each the farthest from those picked before.

    The name and arguments of PyG's ``fps``, which needs ``pyg-lib``, with ``ptr`` of torch-cluster;
    see :func:`mgic_geo.transforms.farthest_point_sample` for a number of points and a seed. Of a
    cloud of :math:`n` points :math:`\lceil n \cdot ratio \rceil` are picked.

    Args:
        x: Points ``[N, D]``; what follows the first axis is one point.
        batch: Cloud of each point, sorted, ``[N]``.
        ratio: Share of the points to pick, above 0 and up to 1; a tensor may have one for each
            cloud, ``[B]``.
        random_start: Start with a random point, drawn from torch's generator, not with the first.
        batch_size: Number of clouds, where the last ones may be empty.
        ptr: First point of each cloud and one past the last, ``[B + 1]``, for ``batch``.

    Returns:
        Indices into ``x``, int64 ``[M]``, cloud after cloud, in the order of picking.

    Raises:
        ValueError: ``ratio`` is out of range, or is not one for each cloud.
        DataError: A coordinate is not finite, or ``batch`` is not sorted.

    Example:
        >>> import torch
        >>> from mgic_geo.nn import fps
        >>> x = torch.tensor([[0.0], [0.1], [1.0], [0.9]])
        >>> fps(x, ratio=0.5, random_start=False).tolist()  # the first, and the farthest from it
        [0, 2]
    """
    x = x.flatten(1) if x.dim() > 1 else x.unsqueeze(1)
    # In the type of the points, whose rounding decides where a share is just a whole number.
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    if isinstance(ratio, Tensor):
        share = ratio.to(x.device, dtype).view(-1)
    else:
        share = torch.full([1], 0.5 if ratio is None else ratio, dtype=dtype, device=x.device)
    least, most = float(share.min()), float(share.max())
    if least <= 0.0 or most > 1.0:
        wrong = least if least <= 0.0 else most
        raise ValueError(f"ratio = {wrong}: it must be above 0 and at most 1")
    if isinstance(ptr, Tensor):
        sizes = ptr.to(x.device).diff()
    elif ptr is not None:
        sizes = torch.tensor(ptr, device=x.device).diff()
    elif batch is not None:
        sizes = torch.bincount(batch, minlength=0 if batch_size is None else batch_size)
    else:
        sizes = torch.tensor([x.size(0)], device=x.device)
    if share.numel() not in (1, sizes.numel()):
        raise ValueError(f"ratio has {share.numel()} entries, there are {sizes.numel()} clouds")
    counts = (sizes.to(dtype) * share).ceil().long()
    there = sizes > 0
    sizes, counts = sizes[there], counts[there]
    if x.size(0) == 0:
        return counts
    first = torch.zeros_like(sizes)
    if random_start:
        first = (torch.rand(sizes.size(0), device=x.device) * sizes).long()
    if batch is None or ptr is not None:
        batch = torch.repeat_interleave(torch.arange(sizes.size(0), device=x.device), sizes)
    if torch.jit.is_scripting():
        return torch.ops.mgic_geo.farthest_points(x, 1, 0, batch, counts, first)
    else:
        return farthest_points(x, 1, 0, batch, counts, first)
