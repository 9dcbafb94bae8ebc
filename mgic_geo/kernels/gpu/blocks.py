"""Which channels a program takes."""

from __future__ import annotations

from typing import NamedTuple

_SMALLEST = 16  # side of a matrix product
_INPUTS = 32  # lanes: six sums of each stay in registers


class Blocks(NamedTuple):
    """Channels in tiles: some whole groups where they are small, parts of one where they are large.

    A tile of several groups is mixed by one matrix product with a block-diagonal matrix. Its zeros
    cost less than a product too small for matrix units, and any group size will do.

    Args:
        groups: Whole groups that a tile spans, 1 where the group itself is cut.
        inputs: Lanes for input channels, a power of two, at least 16.
        outputs: Lanes for output channels.
        bands: Number of spans of ``groups`` groups.
        input_tiles: Tiles that cover the input channels of a span.
        output_tiles: Tiles that cover its output channels.
    """

    groups: int
    inputs: int
    outputs: int
    bands: int
    input_tiles: int
    output_tiles: int

    @property
    def whole(self) -> bool:
        """Whether one tile holds all that its channels exchange."""
        return self.input_tiles == self.output_tiles == 1


def choose_blocks(groups: int, size: int, out: int, widest: int) -> Blocks:
    """The tiling of ``groups`` groups from ``size`` to ``out`` channels.

    Args:
        widest: Most output lanes of a tile.
    """
    span = min(groups, max(1, _SMALLEST // max(size, out)))
    inputs = _lanes(span * size, _INPUTS)
    outputs = _lanes(span * out, widest)
    return Blocks(
        span,
        inputs,
        outputs,
        _cdiv(groups, span),
        _cdiv(span * size, inputs),
        _cdiv(span * out, outputs),
    )


def _lanes(channels: int, most: int) -> int:
    return min(max(1 << (channels - 1).bit_length(), _SMALLEST), most)


def _cdiv(a: int, b: int) -> int:
    return -(-a // b)
