"""What every operator asks of its arguments: loops read memory without asking again."""

from __future__ import annotations

import torch
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.kernels.dispatch import reads_indices


def check_features(x: Tensor, channels: int, name: str = "x") -> None:
    """Raises ``ValueError`` unless ``x`` is ``[N, channels]``."""
    if x.dim() != 2 or x.size(1) != channels:
        raise ValueError(f"{name} must be [N, {channels}], got {list(x.shape)}")


def check_shape(name: str, t: Tensor | None, shape: list[int]) -> None:
    """Raises ``ValueError`` unless ``t``, where there is one, has this shape."""
    if t is not None and list(t.shape) != shape:
        raise ValueError(f"{name} must be {shape}, got {list(t.shape)}")


def check_alike(x: Tensor, **others: Tensor | None) -> None:
    """Raises ``ValueError`` where a tensor has another device or type than ``x``."""
    for name, t in others.items():
        if t is not None and (t.device != x.device or t.dtype != x.dtype):
            raise ValueError(
                f"{name} is {t.dtype} on {t.device}, x is {x.dtype} on {x.device}: bring them "
                "to one type and device"
            )


def check_graph(
    x: Tensor,
    rowptr: Tensor,
    col: Tensor,
    rows: int,
    weight: Tensor | None = None,
    derivatives: int | None = None,
) -> None:
    """Raises unless the compressed rows are a graph of ``rows`` nodes onto those of ``x``.

    On a GPU the entries are not looked at, which would wait for the device: graphs are checked
    where they are built.

    Raises:
        ValueError: A type, device or shape that does not fit.
        DataError: Rows out of order, or edges that name no node.
    """
    for name, t in (("rowptr", rowptr), ("col", col)):
        if t.dtype != torch.int32 or t.dim() != 1 or t.device != x.device:
            raise ValueError(
                f"{name} must be int32 [*] on {x.device}, "
                f"got {t.dtype} {list(t.shape)} on {t.device}"
            )
    if rowptr.size(0) != rows + 1:
        raise ValueError(
            f"x has {rows} nodes, the graph has {rowptr.size(0) - 1}: "
            "these operators belong to other points"
        )
    if weight is not None:
        if weight.dim() != 2 or weight.size(0) != col.size(0) or weight.device != x.device:
            raise ValueError(
                f"weight must be [{col.size(0)}, T] on {x.device}, got {list(weight.shape)} on "
                f"{weight.device}"
            )
        if not weight.is_floating_point():
            raise ValueError(f"weight must hold floating-point numbers, not {weight.dtype}")
        if derivatives is not None and weight.size(1) != derivatives:
            raise ValueError(f"weight has {weight.size(1)} derivatives, mix is for {derivatives}")
    if x.device.type != "cpu":
        return
    if reads_indices(rowptr):
        from mgic_geo.kernels.cpu.graph import check_rows

        check_rows(rowptr, col, x.size(0))
        return
    ends = rowptr.diff()
    if int(rowptr[0]) or bool((ends < 0).any()) or int(rowptr[-1]) != col.numel():
        raise DataError(f"the graph is damaged: its rows do not cover its {col.numel()} edges")
    if col.numel() and not 0 <= int(col.min()) <= int(col.max()) < x.size(0):
        raise DataError(f"the graph names nodes beyond the {x.size(0)} nodes")
