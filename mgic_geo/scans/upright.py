"""Which axis of a file points up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgic_geo.errors import DataError

#: Rotations that put the named axis up, as rows; a front towards +z, usual where y is up, turns to
#: -y, as in ModelNet.
UPRIGHT: dict[str, tuple[tuple[int, int, int], ...]] = {
    "x": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-x": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
    "-y": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-z": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
}

#: What ``up="auto"`` tries: files that stand on their head are rare, and taking them into account
#: makes all others more often wrong.
CANDIDATES = ("x", "y", "z")


def turn_upright(vectors: NDArray[Any], up: str) -> NDArray[Any]:
    """Turns positions or normals so that an axis of theirs becomes z.

    Args:
        vectors: ``[N, 3]``
        up: The axis that points up, a key of :data:`UPRIGHT`.

    Returns:
        The turned vectors ``[N, 3]``, of the same type.

    Raises:
        DataError: There is no such axis.

    Example:
        >>> import numpy as np
        >>> from mgic_geo.scans import turn_upright
        >>> turn_upright(np.array([[1.0, 2.0, 3.0]]), up="y")
        array([[ 1., -3.,  2.]])
    """
    if up not in UPRIGHT:
        raise DataError(f"up = {up!r}: use one of {', '.join(UPRIGHT)}")
    turned: NDArray[Any] = vectors @ np.array(UPRIGHT[up], vectors.dtype).T
    return turned
