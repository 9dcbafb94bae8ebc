"""A labelled set of point clouds in one NPZ file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mgic_geo.errors import DataError
from mgic_geo.io.arrays import open_npz
from mgic_geo.io.cloud import unit_colors
from mgic_geo.io.features import FEATURES


@dataclass(frozen=True, eq=False)
class Clouds:
    """Labelled point clouds of one size.

    Args:
        points: Coordinates, float32 ``[M, n, 3]``.
        label: Class index of each cloud, int64 ``[M]``.
        classes: Class names.
        name: Name of each cloud.
        split: ``"train"`` or ``"test"`` for each cloud, or :obj:`None` where the file does not say.
        features: What the points have beside their coordinates, by the names of
            :data:`~mgic_geo.io.FEATURES`, float32 ``[M, n, 3]`` or ``[M, n, 1]``.

    Example:
        >>> import numpy as np
        >>> from mgic_geo.io import Clouds
        >>> points = np.zeros((2, 5, 3), dtype=np.float32)
        >>> clouds = Clouds(points, np.array([0, 1]), classes=("chair", "sofa"), name=("a", "b"))
        >>> len(clouds), clouds.classes[clouds.label[1]]
        (2, 'sofa')
    """

    points: NDArray[np.float32]
    label: NDArray[np.int64]
    classes: tuple[str, ...]
    name: tuple[str, ...]
    split: tuple[str, ...] | None = None
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.points)


def load_clouds_npz(path: str | os.PathLike[str]) -> Clouds:
    """Reads and checks a data set of point clouds.

    Args:
        path: NPZ with ``points`` ``[M, n, 3]``, ``label`` ``[M]`` and ``classes`` (names). Optional
            are ``name`` ``[M]``, ``split`` ``[M]`` (``"train"`` or ``"test"``), ``normals`` and
            ``colors`` ``[M, n, 3]``, and ``intensity`` ``[M, n, 1]``.

    Returns:
        The clouds, points ``[M, n, 3]``. Without ``name`` they are numbered, as ``chair_0000``.

    Raises:
        DataError: Keys, shapes, labels or coordinates are not as they should be.
        OSError: It cannot be opened.

    Example:
        >>> import numpy as np
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.io import load_clouds_npz
        >>> points = np.random.default_rng(0).random((2, 5, 3))
        >>> with TemporaryDirectory() as folder:
        ...     path = f"{folder}/scans.npz"
        ...     np.savez(path, points=points, label=[0, 1], classes=["chair", "sofa"])
        ...     clouds = load_clouds_npz(path)
        >>> clouds.points.shape, clouds.name
        ((2, 5, 3), ('chair_0000', 'sofa_0001'))
    """
    with open_npz(path) as arrays:
        missing = [key for key in ("points", "label", "classes") if key not in arrays.files]
        if missing:
            raise DataError(
                f"{path}: a data set needs the arrays points, label and classes; "
                f"{' and '.join(missing)} missing, there are: {', '.join(arrays.files) or 'none'}"
            )
        points, label = arrays["points"], arrays["label"]
        texts = {key: _texts(arrays[key], key, path) for key in _TEXTS if key in arrays.files}
        beside = {key: arrays[key] for key in FEATURES if key in arrays.files}
    return checked_clouds(points, label, texts, path, beside)


def checked_clouds(
    points: NDArray,
    label: NDArray,
    texts: Mapping[str, tuple[str, ...]],
    path: str | os.PathLike[str],
    features: Mapping[str, NDArray] | None = None,
) -> Clouds:
    """The data set of these arrays, where they fit each other.

    Args:
        points: ``[M, n, 3]``.
        label: ``[M]``.
        texts: ``classes``, and, if they are known, ``name`` and ``split`` of each cloud.
        path: What the message calls it.
        features: As in :class:`Clouds`.

    Raises:
        DataError: Shapes, labels or coordinates are not as they should be.
    """
    if points.ndim != 3 or points.shape[2] != 3 or points.dtype.kind not in "fiu":
        raise _wrong(path, "points", "numbers of shape [clouds, points, 3]", points)
    if not points.size:
        raise DataError(f"{path}: an empty data set ('points' has shape {list(points.shape)})")
    if label.shape != points.shape[:1] or label.dtype.kind not in "iu":
        raise _wrong(path, "label", f"integers of shape [{len(points)}]", label)
    for key in ("name", "split"):
        if key in texts and len(texts[key]) != len(points):
            raise DataError(f"{path}: {len(texts[key])} entries in '{key}', {len(points)} clouds")
    classes = texts["classes"]
    if len(set(classes)) != len(classes):
        raise DataError(f"{path}: 'classes' names a class twice: {', '.join(classes)}")
    if label.min() < 0 or label.max() >= len(classes):
        raise DataError(
            f"{path}: labels from {label.min()} to {label.max()}, but {len(classes)} classes"
        )
    if wrong := set(texts.get("split", ())) - {"train", "test"}:
        raise DataError(f"{path}: 'split' must be 'train' or 'test', not {sorted(wrong)[0]!r}")
    with np.errstate(over="ignore"):
        points = points.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))
    default = tuple(f"{classes[c]}_{i:04d}" for i, c in enumerate(label.tolist()))
    names = texts.get("name", default)
    if len(bad):
        raise DataError(
            f"{path}: {len(bad)} of {len(points)} clouds have NaN or infinite coordinates, "
            f"the first is {names[bad[0]]}; leave them out"
        )
    beside = {
        key: _feature(key, values, points.shape[:2], path)
        for key, values in (features or {}).items()
    }
    return Clouds(points, label.astype(np.int64), classes, names, texts.get("split"), beside)


def _feature(
    key: str, values: NDArray, shape: tuple[int, ...], path: str | os.PathLike[str]
) -> NDArray[np.float32]:
    """A feature of all points in [0, 1] or of unit length."""
    if values.shape == shape and FEATURES[key] == 1:
        values = values[..., None]
    if values.shape != (*shape, FEATURES[key]) or values.dtype.kind not in "fiu":
        raise _wrong(path, key, f"numbers of shape {[*shape, FEATURES[key]]}", values)
    if key == "normals":
        return values.astype(np.float32)
    scaled = unit_colors(values.astype(np.float64))
    assert scaled is not None
    return scaled.astype(np.float32)


_TEXTS = ("classes", "name", "split")


def _texts(array: NDArray, key: str, path: str | os.PathLike[str]) -> tuple[str, ...]:
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise _wrong(path, key, "a list of names", array)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    return tuple(array.tolist())


def _wrong(path: str | os.PathLike[str], key: str, need: str, array: NDArray) -> DataError:
    return DataError(f"{path}: '{key}' must be {need}, not {array.dtype} of {list(array.shape)}")
