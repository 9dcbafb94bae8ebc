"""Nearest neighbours, neighbours within a radius, farthest points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from mgic_geo.errors import DataError
from mgic_geo.kernels.dispatch import reads_indices
from mgic_geo.kernels.neighbors import backends
from mgic_geo.kernels.neighbors.reference import (
    KDTREE_MAX_DIM,
    farthest_points_reference,
    first_points,
    neighbor_table_reference,
)
from mgic_geo.kernels.operator import operator

__all__ = [
    "available_backends",
    "farthest_points",
    "farthest_points_reference",
    "neighbor_table",
    "neighbor_table_reference",
]


class TooFewPoints(DataError):
    """A cloud has fewer points than neighbours are asked for."""


_FLOATS = (torch.float32, torch.float64)


def available_backends(device: str | torch.device = "cpu") -> list[str]:
    """The ``backend`` names that work here, best first for static points.

    Args:
        device: Where the points lie.

    Returns:
        The names.

    Example:
        >>> from mgic_geo.graph import available_backends
        >>> available_backends()[-1]  # all distances in chunks: it needs torch alone
        'dense'
    """
    kind = torch.device(device).type
    return [name for name in backends.SEARCHES if _is_usable(name, kind)]


def _is_usable(backend: str, kind: str) -> bool:
    """Whether a search works on devices of this kind."""
    if backend in ("compiled", "kdtree"):
        return kind == "cpu" and (backend == "kdtree" or backends.has_compiled())
    if backend == "torch_cluster":
        return backends.has_torch_cluster(kind)
    return backend == "dense" or backends.has_pyg_lib(kind)


def _check(
    x: Tensor,
    y: Tensor,
    k: int,
    batch_x: Tensor | None = None,
    batch_y: Tensor | None = None,
    clouds: int = 1,
    radius: float | None = None,
    own: bool = False,
    cosine: bool = False,
    workers: int = 0,
    backend: str = "auto",
) -> tuple[Sequence[int], Sequence[int], str]:
    """First points of the clouds in ``x`` and ``y``, and the backend."""
    if k < 1:
        raise ValueError(f"k = {k}: it must be at least 1")
    if radius is not None and not radius >= 0.0:
        raise ValueError(f"radius = {radius}: it must not be negative")
    if x.dim() != 2 or y.dim() != 2 or x.size(1) != y.size(1):
        raise ValueError(f"points must be [N, D], got {list(x.shape)} and {list(y.shape)}")
    if not x.size(1):
        raise ValueError("points have no coordinates: they must be [N, D] with D >= 1")
    if own and x.shape != y.shape:
        raise ValueError(f"own: y must be x, got {list(x.shape)} and {list(y.shape)}")
    if x.device != y.device:
        raise ValueError(f"points lie on {x.device} and {y.device}: bring them to one device")
    same = y is x or own
    if not (_finite(x) and (same or _finite(y))):
        raise DataError("points hold NaN or infinite coordinates: remove them first")
    clouds = max(clouds, *(_clouds(batch) for batch in (batch_x, batch_y)))
    divided = batch_x is not None or batch_y is not None
    ptr_x = _pointers(batch_x, x.size(0), clouds, divided)
    ptr_y = _pointers(batch_y, y.size(0), clouds, divided)
    for i in range(clouds):
        size = ptr_x[i + 1] - ptr_x[i]
        if size < k + own and ptr_y[i + 1] > ptr_y[i] and radius is None:
            raise TooFewPoints(
                f"cloud {i} has {size} points, k = {k} needs at least {k + own}: "
                f"use a smaller k or more points"
            )
    return ptr_x, ptr_y, _choose(backend, x)


@operator(neighbor_table_reference, _check)
def neighbor_table(
    x: Tensor,
    y: Tensor,
    k: int,
    batch_x: Tensor | None = None,
    batch_y: Tensor | None = None,
    clouds: int = 1,
    radius: float | None = None,
    own: bool = False,
    cosine: bool = False,
    workers: int = 0,
    backend: str = "auto",
) -> Tensor:
    """For each point of ``y`` its ``k`` nearest points of ``x`` in the same cloud.

    Args:
        x: Reference points ``[N, D]``.
        y: Query points ``[M, D]``.
        k: Number of neighbours.
        batch_x: Cloud of each reference point, sorted, ``[N]``.
        batch_y: Cloud of each query point, sorted, ``[M]``.
        clouds: Without ``batch_x`` and ``batch_y``: so many clouds of one size, one after another.
            With them: at least so many, of which the last ones may be empty.
        radius: Points farther away are no neighbours.
        own: ``y`` is ``x``, and no point is its own neighbour.
        cosine: By the angle instead of the distance.
        workers: Threads on the CPU; 0 for as many as torch has.
        backend: One of :func:`available_backends`, or ``"auto"``.

    Returns:
        Indices into ``x``, int64 ``[M, k]``, nearest first; -1 where there are fewer neighbours,
        which without ``radius`` is an error.

    Raises:
        ValueError: An argument makes no sense.
        DataError: A cloud has too few points for ``k``, or a coordinate is not finite.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import neighbor_table
        >>> x = torch.tensor([[0.0], [1.0], [5.0]])
        >>> neighbor_table(x, x, k=2, own=True).tolist()
        [[1, 2], [0, 2], [1, 0]]
        >>> neighbor_table(x, x, k=2, own=True, radius=2.0).tolist()
        [[1, -1], [0, -1], [-1, -1]]
    """
    ptr_x, ptr_y, search = _check(
        x, y, k, batch_x, batch_y, clouds, radius, own, cosine, workers, backend
    )
    if cosine:  # on unit vectors the Euclidean order is the cosine order
        x, y = F.normalize(x, dim=-1), F.normalize(y, dim=-1)
    x, y = x.detach(), y.detach()
    workers = workers or torch.get_num_threads()
    if not y.size(0) or not x.size(0):
        return torch.full((y.size(0), k), -1, device=y.device)
    if radius is None:
        return backends.SEARCHES[search](x, y, ptr_x, ptr_y, k, workers, own)
    if search == "compiled":
        return backends.compiled(x, y, ptr_x, ptr_y, k, workers, own, radius)
    return backends.dense_within(x, y, ptr_x, ptr_y, k, radius, own)


def _check_farthest(
    pos: Tensor,
    num_points: int,
    seed: int,
    batch: Tensor | None = None,
    counts: Tensor | None = None,
    first: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Sizes of the clouds, and the first point of each."""
    if pos.dim() != 2 or not pos.numel():
        raise DataError(f"pos must be [N, D] with N >= 1, got shape {list(pos.shape)}")
    if not _finite(pos):
        raise DataError("pos has NaN or infinite coordinates; drop those points first")
    if batch is not None:
        _check_batch(batch, pos.size(0))
    sizes, start = first_points(pos, seed, batch, first)
    if start.shape != sizes.shape or int(start.min()) < 0:
        raise ValueError(f"first must be [{len(sizes)}] and not negative, got {list(start.shape)}")
    if counts is None:
        least, most = num_points, num_points - int(sizes.min())
    elif counts.shape != sizes.shape:
        raise ValueError(f"counts must be [{len(sizes)}], got {list(counts.shape)}")
    else:
        least, most = int(counts.min()), int((counts - sizes).max())
    if least < 1 or most > 0:
        raise DataError(
            f"cannot pick {num_points if counts is None else counts.tolist()} points from a cloud "
            f"of {int(sizes.min())}: ask for at least 1 and at most all"
        )
    return sizes, start


@operator(farthest_points_reference, _check_farthest)
def farthest_points(
    pos: Tensor,
    num_points: int,
    seed: int,
    batch: Tensor | None = None,
    counts: Tensor | None = None,
    first: Tensor | None = None,
) -> Tensor:
    """Farthest point sampling: each point is the farthest from those picked before it.

    Distances are in double precision.

    Args:
        pos: Points ``[N, D]``.
        num_points: Points to pick from each cloud.
        seed: Decides the first one.
        batch: Cloud of each point, sorted, ``[N]``.
        counts: Points to pick from each cloud that has points, int64 ``[B]``, for ``num_points``.
        first: The first one, counted in its cloud, int64 ``[B]``, for ``seed``.

    Returns:
        Indices, int64 ``[B * num_points]``, cloud after cloud; clouds without points are left out.

    Raises:
        ValueError: ``counts`` or ``first`` are not one for each cloud.
        DataError: A cloud has fewer points than asked for, or coordinates are not finite.

    Example:
        >>> import torch
        >>> from mgic_geo.kernels import farthest_points
        >>> pos = torch.tensor([[0.0, 0.0], [0.1, 0.0], [1.0, 0.0], [0.9, 0.0]])
        >>> picked = farthest_points(pos, num_points=2, seed=0)
        >>> bool((pos[picked[0]] - pos[picked[1]]).norm() > 0.8)  # one of each pair
        True
    """
    sizes, start = _check_farthest(pos, num_points, seed, batch, counts, first)
    if not reads_indices(pos):
        return farthest_points_reference(pos, num_points, seed, batch, counts, first)
    from mgic_geo.kernels.neighbors.farthest import farthest_table

    if counts is None:
        counts = torch.full_like(sizes, num_points)
    points = np.array(pos.detach().double().numpy(), order="C")
    ptr = np.append(0, sizes.cumsum(0).numpy())
    workers = torch.get_num_threads()
    return torch.from_numpy(farthest_table(points, ptr, start.numpy(), counts.numpy(), workers))


@neighbor_table.register_fake
def _(x: Tensor, y: Tensor, k: int, *_: Any, **__: Any) -> Tensor:
    return y.new_empty(y.size(0), k, dtype=torch.int64)


@farthest_points.register_fake
def _(
    pos: Tensor,
    num_points: int,
    seed: int,
    batch: Tensor | None = None,
    counts: Tensor | None = None,
    first: Tensor | None = None,
) -> Tensor:
    if batch is None and counts is None:
        return pos.new_empty(num_points, dtype=torch.int64)
    return pos.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


@register_flop_formula([neighbor_table.op.overloadpacket, farthest_points.op.overloadpacket])
def _flops(*_: Any, **__: Any) -> int:
    return 0


def _choose(backend: str, x: Tensor) -> str:
    kind = x.device.type
    if backend == "auto":  # one after another: to ask for torch-cluster is to import it
        low = x.size(1) <= KDTREE_MAX_DIM
        names = (n for n in backends.SEARCHES if low or n not in ("compiled", "kdtree"))
        return next(name for name in names if _is_usable(name, kind))
    if backend not in backends.SEARCHES:
        raise ValueError(f"backend = {backend!r}: use one of {['auto', *backends.SEARCHES]}")
    if not _is_usable(backend, kind):
        raise ValueError(f"backend = {backend!r} is not available here for {x.device.type} tensors")
    return backend


def _clouds(batch: Tensor | None) -> int:
    """One more than the last cloud's number."""
    return 0 if batch is None or not batch.numel() else int(batch[-1]) + 1


def _pointers(batch: Tensor | None, count: int, clouds: int, divided: bool) -> Sequence[int]:
    """First point of each cloud, and one past the last."""
    if batch is not None:
        _check_batch(batch, count)
        sizes = torch.bincount(batch, minlength=clouds)
        pointers: list[int] = F.pad(sizes.cumsum(0), (1, 0)).tolist()
        return pointers
    if divided:  # the other points say of which cloud they are; these are of the first
        return [0] + [count] * clouds
    if count % clouds:
        raise ValueError(f"{count} points cannot be {clouds} clouds of one size")
    return [i * (count // clouds) for i in range(clouds + 1)]


def _check_batch(batch: Tensor, count: int) -> None:
    if batch.is_floating_point() or batch.dim() != 1:
        raise ValueError(f"batch must be whole numbers [N], got {batch.dtype} {list(batch.shape)}")
    if batch.numel() != count or bool((batch.diff() < 0).any()) or (count and int(batch[0]) < 0):
        raise DataError(
            f"batch has {batch.numel()} entries for {count} points, or is not sorted: "
            "give each point the number of its cloud, in ascending order"
        )


def _finite(points: Tensor) -> bool:
    if not points.numel():
        return True
    if points.device.type == "cpu" and points.dtype in _FLOATS:
        array = points.detach().numpy()  # wakes no threads, see backends.compiled
        return bool(np.isfinite(array.min()) and np.isfinite(array.max()))
    return bool(torch.isfinite(torch.stack(points.aminmax())).all())
