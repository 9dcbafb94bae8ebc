"""Tables of blocks, and the stages that they describe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import nn


@dataclass(frozen=True)
class Row:
    """One block of a table.

    Args:
        kernel_size: Size of the depthwise filter.
        hidden: Wide channels.
        out: Output channels.
        se: With squeeze-excite.
        act: Activation.
        stride: Stride.
        dilation: Distance of the filter's taps.
    """

    kernel_size: int
    hidden: int
    out: int
    se: bool
    act: str
    stride: int
    dilation: int = 1


def _rows(act: str, *rows: tuple[int, int, int, int, int]) -> tuple[Row, ...]:
    return tuple(Row(k, hidden, out, bool(se), act, stride) for k, hidden, out, se, stride in rows)


# kernel, wide, out, squeeze-excite, stride. Tables 1 and 2 of "Searching for MobileNetV3".
LARGE = (
    *_rows("relu", (3, 16, 16, 0, 1), (3, 64, 24, 0, 2), (3, 72, 24, 0, 1), (5, 72, 40, 1, 2)),
    *_rows("relu", (5, 120, 40, 1, 1), (5, 120, 40, 1, 1)),
    *_rows("hardswish", (3, 240, 80, 0, 2), (3, 200, 80, 0, 1), (3, 184, 80, 0, 1)),
    *_rows("hardswish", (3, 184, 80, 0, 1), (3, 480, 112, 1, 1), (3, 672, 112, 1, 1)),
    *_rows("hardswish", (5, 672, 160, 1, 2), (5, 960, 160, 1, 1), (5, 960, 160, 1, 1)),
)
SMALL = (
    *_rows("relu", (3, 16, 16, 1, 2), (3, 72, 24, 0, 2), (3, 88, 24, 0, 1)),
    *_rows("hardswish", (5, 96, 40, 1, 2), (5, 240, 40, 1, 1), (5, 240, 40, 1, 1)),
    *_rows("hardswish", (5, 120, 48, 1, 1), (5, 144, 48, 1, 1)),
    *_rows("hardswish", (5, 288, 96, 1, 2), (5, 576, 96, 1, 1), (5, 576, 96, 1, 1)),
)
# Table 6 of the MGIC paper, which is GhostNet's too.
TABLE_6 = (
    *_rows("hardswish", (3, 16, 16, 0, 1), (3, 48, 24, 0, 2), (3, 72, 24, 0, 1)),
    *_rows("hardswish", (5, 72, 40, 1, 2), (5, 120, 40, 1, 1), (3, 240, 80, 0, 2)),
    *_rows("hardswish", (3, 200, 80, 0, 1), (3, 184, 80, 0, 1), (3, 184, 80, 0, 1)),
    *_rows("hardswish", (3, 480, 112, 1, 1), (3, 672, 112, 1, 1), (5, 672, 160, 1, 2)),
    *_rows("hardswish", (5, 960, 160, 0, 1), (5, 960, 160, 1, 1), (5, 960, 160, 0, 1)),
    *_rows("hardswish", (5, 960, 160, 1, 1)),
)

RowBuilder = Callable[[int, Row], nn.Module]
"""``block(in_channels, row)``"""


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of ``divisor`` nearest to ``channels``, not more than a tenth below it.

    >>> make_divisible(0.6 * 24)
    16
    """
    near = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * channels else near


def scaled(rows: Sequence[Row], width_mult: float, divisor: int = 8) -> tuple[Row, ...]:
    """The table with all channels multiplied."""
    return tuple(
        replace(
            row,
            hidden=make_divisible(row.hidden * width_mult, divisor),
            out=make_divisible(row.out * width_mult, divisor),
        )
        for row in rows
    )


def limit_stride(rows: Sequence[Row], stride: int, before: int = 2) -> tuple[Row, ...]:
    """The table with dilation instead of strides beyond ``stride``; the stem's is ``before``."""
    made, total, dilation = [], before, 1
    for row in rows:
        if total * row.stride > stride:
            # the first filter still sees the finer map as it was
            made.append(replace(row, stride=1, dilation=dilation))
            dilation *= row.stride
        else:
            total *= row.stride
            made.append(replace(row, dilation=dilation))
    return tuple(made)


def build_stages(
    rows: Sequence[Row], block: RowBuilder, channels: int, reduction: int = 2
) -> tuple[list[nn.Module], list[int], list[int]]:
    """Blocks, grouped into stages that end where the resolution falls, with widths and reductions.

    Args:
        rows: The table.
        block: Builds a block.
        channels: Channels behind the stem.
        reduction: Of the stem.
    """
    stages: list[list[nn.Module]] = []
    widths, reductions = [], []
    for row in rows:
        if row.stride != 1 or not stages:
            stages.append([])
            widths.append(0)
            reductions.append(reduction := reduction * row.stride)
        stages[-1].append(block(channels, row))
        widths[-1] = channels = row.out
    return [nn.Sequential(*blocks) for blocks in stages], widths, reductions
