"""What a report shows of one cloud."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mgic_geo.errors import DataError


@dataclass(frozen=True)
class ReportCloud:
    """A cloud, what it was taken for, and what it is, if that is known.

    Args:
        points: ``[n, 3]``, or more columns, which are not shown; z up, any unit; array or CPU
            tensor.
        name: What it is called, such as its file.
        top: The most likely classes with their probabilities, the likeliest first.
        truth: Its true class.
        importance: How much the class hangs on each point, ``[n]``, any unit; negative where a
            point speaks against the class. See :func:`mgic_geo.attribution.explain`.
        seconds: How long it took.
        note: A line below the name.

    Raises:
        DataError: The points are not finite or not ``[n, >= 3]``, there is no class, or there are
            not as many importances as points.

    Example:
        >>> import numpy as np
        >>> from mgic_geo.viz import ReportCloud
        >>> points = np.random.default_rng(0).random((50, 3))
        >>> ReportCloud(points, "a.ply", [("sofa", 0.9), ("bed", 0.1)], truth="bed").wrong
        True
    """

    points: npt.ArrayLike
    name: str
    top: tuple[tuple[str, float], ...] | list[tuple[str, float]]
    truth: str | None = None
    importance: npt.ArrayLike | None = None
    seconds: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        shape = np.shape(self.points)
        if len(shape) != 2 or shape[0] == 0 or shape[1] < 3:
            raise DataError(f"{self.name}: a cloud of a report is [n, >= 3], got {list(shape)}")
        if not np.isfinite(self.xyz).all():
            raise DataError(f"{self.name}: points of a report must be finite")
        if not self.top:
            raise DataError(f"{self.name}: give a report at least the likeliest class of a cloud")
        if self.importance is not None and np.shape(self.importance) != shape[:1]:
            raise DataError(
                f"{self.name}: {shape[0]} points have importances {list(np.shape(self.importance))}"
            )

    @property
    def xyz(self) -> npt.NDArray[np.float64]:
        """Its coordinates, ``[n, 3]``."""
        return np.asarray(self.points, np.float64)[:, :3]

    @property
    def wrong(self) -> bool:
        """Whether it was taken for something else than it is."""
        return self.truth is not None and self.truth != self.top[0][0]
