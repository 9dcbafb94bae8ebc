"""Clouds that are dealt out to thinner ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mgic_geo.models._classifier import Classifier

MAX_PARTS = 16


class Dealt(NamedTuple):
    """Parts of clouds, as clouds.

    Args:
        pos: Points of the parts, ``[N, 3]``, or ``[B * p, m, 3]`` where all clouds have one size.
        batch: Part of each point, None in the second case.
        counts: Number of parts of each cloud ``[B]``, or one for all.
    """

    pos: Tensor
    batch: Tensor | None
    counts: Tensor | int

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the parts of each cloud, ``[parts, C]`` to ``[clouds, C]``."""
        counts: Any = self.counts
        in_export = isinstance(counts, torch.SymInt)
        if in_export:  # a product, not a view: see deal
            parts = torch.scalar_tensor(counts, dtype=torch.long, device=values.device)
            row = torch.arange(values.size(0), device=values.device)
            cloud = torch.arange(values.size(0) // counts, device=values.device)
            mine = (row // parts == cloud[:, None]).to(values.dtype)
            return mine @ values / parts.to(values.dtype)
        if not isinstance(self.counts, Tensor):
            return values.view(values.size(0) // self.counts, self.counts, -1).mean(dim=1)
        clouds = torch.arange(len(self.counts), device=values.device)
        owner = clouds.repeat_interleave(self.counts, output_size=values.size(0))
        total = values.new_zeros(len(self.counts), values.size(1)).index_add_(0, owner, values)
        return total / self.counts[:, None]


def deal(pos: Tensor, batch: Tensor | None, part_size: int, max_parts: int) -> Dealt:
    r"""Deals the points of each cloud out in turn, to as many parts as its size asks for.

    A cloud of :math:`n` points becomes :math:`p = \operatorname{clamp}(\lfloor n / s + 1/2
    \rfloor, 1, p_{\max})` parts of :math:`\lfloor n / p \rfloor` points, the first point to the
    first part and so on; the last :math:`n \bmod p` points sit out.

    Without ``batch`` there is arithmetic on sizes alone, so that a number of points that is a
    symbol stays one in an export.

    Args:
        pos: ``[N, 3]`` or ``[B, n, 3]``.
        batch: Cloud of each point, sorted, ``[N]``.
        part_size: Points :math:`s` that a part should have.
        max_parts: Largest number of parts.
    """
    if batch is None:
        pos = pos if pos.dim() == 3 else pos[None]
        clouds, count, dim = pos.shape
        parts = torch.sym_max(1, torch.sym_min(max_parts, _halves(count, part_size)))
        size = count // parts
        # numbers of points, not views: of those an export asks for sizes that it cannot decide, and
        # then holds the file to what the example had, such as more than one part
        place = torch.arange(clouds * size * parts, device=pos.device)
        # as tensors: ONNX has no operators on sizes
        rows, turns, all_rows, stride = (
            torch.scalar_tensor(n, dtype=torch.long, device=pos.device)
            for n in (size, parts, size * parts, count)
        )
        own = place % all_rows
        row = place // all_rows * stride + own % rows * turns + own // rows
        dealt = pos.reshape(-1, dim).index_select(0, row)
        return Dealt(dealt.view(clouds * parts, size, dim), None, parts)
    counts = torch.bincount(batch)
    parts = _halves(counts, part_size).clamp(1, max_parts)
    first_point, first_part = counts.cumsum(0) - counts, parts.cumsum(0) - parts
    place = torch.arange(len(batch), device=batch.device) - first_point[batch]
    own = parts[batch]
    part = first_part[batch] + place % own
    kept = (place < counts[batch] // own * own).nonzero().flatten()
    part, order = part[kept].sort(stable=True)
    return Dealt(pos[kept[order]], part, parts)


class JudgedInParts(Classifier):
    """A network of clouds that judges each in parts, in eval mode.

    Attributes:
        part_size: Points that a part should have; None judges clouds whole.
        max_parts: Largest number of parts.
    """

    part_size: int | None
    max_parts: int

    def deal(self, pos: Tensor, batch: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The clouds that are judged: those given, or in eval mode their parts.

        Args:
            pos: ``[N, 3]`` or ``[B, n, 3]``.
            batch: Cloud of each point, sorted, ``[N]``.

        Returns:
            ``pos`` and ``batch`` of the parts, those of one cloud beside each other.
        """
        dealt = self._deal(pos, batch)
        return (pos, batch) if dealt is None else (dealt.pos, dealt.batch)

    def _deal(self, pos: Tensor, batch: Tensor | None) -> Dealt | None:
        if self.training or self.part_size is None:
            return None
        return deal(self._scattered(pos, batch), batch, self.part_size, self.max_parts)

    def _scattered(self, pos: Tensor, batch: Tensor | None) -> Tensor:
        """The points of each cloud in an order that says nothing of their places; as given here."""
        return pos


def with_features(pos: Tensor, x: Tensor | None, in_channels: int) -> Tensor:
    """Coordinates ``[*, 3]`` and features ``[*, F]`` side by side.

    Raises:
        ValueError: Features of other points, or other than ``in_channels`` of them.
    """
    if x is not None:
        if x.shape[:-1] != pos.shape[:-1] or pos.size(-1) != 3:
            raise ValueError(
                f"x must be [N, F] as pos is [N, 3], got {list(x.shape)} and {list(pos.shape)}"
            )
        pos = torch.cat([pos, x.to(pos.dtype)], dim=-1)
    if pos.size(-1) != 3 + in_channels:
        raise ValueError(
            f"points have {pos.size(-1) - 3} features beside their coordinates, the model "
            f"takes in_channels = {in_channels}"
        )
    return pos


def _halves(count: Any, part_size: int) -> Any:
    """``count / part_size``, rounded to the nearest whole number, halves up."""
    return (2 * count + part_size) // (2 * part_size)


def follow_points(model_args: Mapping[str, Any], num_points: int) -> dict[str, Any]:
    """Options of a model in which ``parts``, a fixed number once, is the size of a part.

    Args:
        model_args: Options of a model, those of its point network under ``point_options``.
        num_points: Points a cloud that the number was chosen for.
    """
    args = dict(model_args)
    if isinstance(args.get("point_options"), Mapping):
        args["point_options"] = follow_points(args["point_options"], num_points)
    parts = args.pop("parts", 1)
    if isinstance(parts, int) and parts > 1:
        args.setdefault("part_size", max(round(num_points / parts), 1))
    return args
