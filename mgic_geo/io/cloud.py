"""Point clouds in memory, and what every one from a file has to fulfil."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mgic_geo.errors import DataError
from mgic_geo.io.mesh import check_finite

OnNan = Literal["drop", "raise"]
_MOST_CHANNELS = 9  # positions, normals and colours


@dataclass(frozen=True, eq=False)
class PointCloud:
    """A point cloud.

    Args:
        points: Positions, float64 ``[N, 3]``.
        normals: Normals as they are in the file, float64 ``[N, 3]``, if it has them.
        colors: Red, green and blue in [0, 1], float64 ``[N, 3]``, if it has them.
        intensity: Strength of the return in [0, 1], float64 ``[N, 1]``, if it has it.
        left_out: Number of points that :meth:`check` has left out.

    Example:
        >>> import numpy as np
        >>> from mgic_geo.io import PointCloud
        >>> cloud = PointCloud(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [np.nan, 0.0, 0.0]]))
        >>> kept = cloud.take(np.isfinite(cloud.points).all(axis=1))
        >>> len(cloud), len(kept), kept.colors is None
        (3, 2, True)
    """

    points: NDArray[np.float64]
    normals: NDArray[np.float64] | None = None
    colors: NDArray[np.float64] | None = None
    intensity: NDArray[np.float64] | None = None
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.points)

    def take(self, index: NDArray[Any]) -> PointCloud:
        """The points of an index or a mask, with what belongs to them."""
        parts = (self.points, self.normals, self.colors, self.intensity)
        return PointCloud(*(None if part is None else part[index] for part in parts))  # type: ignore[arg-type]

    def check(self, name: str | os.PathLike[str], on_nan: OnNan = "raise") -> PointCloud:
        """Returns the cloud if it is usable; ``"drop"`` leaves out points without a position.

        Args:
            name: What the message calls it, usually its file.
            on_nan: What becomes of points with NaN or infinite positions, which depth cameras write
                where they see nothing: ``"drop"`` leaves them out, with one warning that says how
                many; ``"raise"`` refuses the cloud.

        Raises:
            DataError: It is empty, nowhere, all points are the same, or ``"raise"`` applies.
        """
        if on_nan not in ("drop", "raise"):
            raise ValueError(f"on_nan = {on_nan!r}: use 'drop' or 'raise'")
        points = self.points
        if not len(points):
            raise DataError(f"{name}: an empty cloud; at least one point is needed")
        finite = np.asarray(np.isfinite(points).all(axis=1))
        if on_nan == "drop" and finite.any() and not finite.all():
            left_out = len(points) - int(finite.sum())
            warnings.warn(
                f"{name}: {left_out:,} of {len(points):,} points have NaN or infinite coordinates "
                "and are left out",
                stacklevel=2,
            )
            return replace(self.take(finite), left_out=left_out).check(name)
        check_finite(points, name, "points")
        if len(points) > 1 and (points == points[0]).all():
            raise DataError(f"{name}: all {len(points)} points are the same; this is not a shape")
        return self


def check_cloud(
    points: ArrayLike, name: str | os.PathLike[str], on_nan: OnNan = "raise"
) -> NDArray[np.float64]:
    """Checks an array of points and returns their positions.

    Args:
        points: ``[N, >= 3]``; columns after the third are dropped.
        name: What the error message calls it, usually its file.
        on_nan: As in :meth:`PointCloud.check`.

    Returns:
        Positions, float64 ``[N, 3]``.

    Raises:
        DataError: It has another shape or no numbers, is empty, has NaN or infinite positions, or
            all its points are the same.

    Example:
        >>> import numpy as np
        >>> from mgic_geo.io import check_cloud
        >>> xyz_and_reflectance = np.random.default_rng(0).random((5, 4), dtype=np.float32)
        >>> check_cloud(xyz_and_reflectance, name="scan").shape
        (5, 3)
        >>> check_cloud(np.zeros((0, 3)), name="scan")
        Traceback (most recent call last):
        mgic_geo.errors.DataError: scan: an empty cloud; at least one point is needed
    """
    return cloud_of_array(points, name).check(name, on_nan).points


def cloud_of_array(points: ArrayLike, name: str | os.PathLike[str]) -> PointCloud:
    """The cloud of an array ``[N, >= 3]``, or of one with the fields x, y and z; not yet checked.

    Raises:
        DataError: It has another shape, holds channels first, or no numbers.
    """
    points = np.asarray(points)
    if points.dtype.names is not None:
        return cloud_of_fields(points.dtype.names, points.ravel().__getitem__, name)
    if points.dtype.kind not in "fiu" or points.ndim != 2:
        raise _no_cloud(points, name)
    rows, columns = points.shape
    if rows == 3 < columns or 0 < rows <= _MOST_CHANNELS < columns:
        raise DataError(f"{name}: its shape is [{rows}, {columns}], channels first; transpose it")
    if columns < 3:
        raise _no_cloud(points, name)
    return PointCloud(points[:, :3].astype(np.float64))


def _no_cloud(points: NDArray[Any], name: str | os.PathLike[str]) -> DataError:
    return DataError(
        f"{name}: a cloud is an array of numbers of shape [points, 3], "
        f"not {points.dtype} of shape {list(points.shape)}"
    )


_POSITIONS = (("x", "y", "z"),)
_NORMALS = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"))
_COLORS = (("red", "green", "blue"), ("r", "g", "b"))
_INTENSITY = (("intensity",), ("scalar_intensity",), ("reflectance",))


def cloud_of_fields(
    names: Sequence[str], column: Callable[[str], ArrayLike], name: str | os.PathLike[str]
) -> PointCloud:
    """The cloud of a table whose columns have names; not yet checked.

    Args:
        names: Names of the columns, in any case.
        column: Gives the numbers of one, ``[N]``.
        name: What the error message calls it.

    Raises:
        DataError: There are no columns x, y and z.
    """
    by_name = {own.strip().lower(): own for own in reversed(names)}

    def take(choices: Sequence[Sequence[str]]) -> NDArray[np.float64] | None:
        for choice in choices:
            if all(part in by_name for part in choice):
                parts = [np.asarray(column(by_name[part]), np.float64).ravel() for part in choice]
                return np.stack(parts, axis=1)
        return None

    points = take(_POSITIONS)
    if points is None:
        shown = ", ".join(own if own.isprintable() else ascii(own) for own in names)
        raise DataError(f"{name}: no fields x, y and z; it has {shown}")
    colors, intensity = (unit_colors(take(choices)) for choices in (_COLORS, _INTENSITY))
    return PointCloud(points, take(_NORMALS), colors, intensity)


def unit_colors(colors: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Colours or intensities of 8 or 16 bits, or in [0, 1] already, as numbers in [0, 1]."""
    if colors is None or not colors.size:
        return colors
    top = float(np.nanmax(colors)) if not np.isnan(colors).all() else 1.0
    scale = next((scale for scale in (1.0, 255.0, 65535.0) if top <= scale), max(top, 1.0))
    return colors / scale
