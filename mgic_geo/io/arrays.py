"""NumPy's array files, never through pickle, with errors that name the file."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from mgic_geo.errors import DataError

_DAMAGE = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@contextmanager
def open_npz(path: str | os.PathLike[str]) -> Iterator[NpzFile]:
    """Opens an NPZ file; damage that shows while it is read is a :class:`DataError` too."""
    # opened here: NumPy leaves the file of a damaged archive open
    with _as_data_error(path, "NPZ"), Path(path).open("rb") as file:
        arrays: Any = np.load(file, allow_pickle=False)
        if not isinstance(arrays, NpzFile):
            raise ValueError("it holds a single array, as NPY files do")
        with arrays:
            yield arrays


def read_array(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Reads an NPY file."""
    with _as_data_error(path, "NPY"), Path(path).open("rb") as file:
        array: Any = np.load(file, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it holds several arrays, as NPZ files do")
        return array


@contextmanager
def _as_data_error(path: str | os.PathLike[str], kind: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except _DAMAGE as error:
        reason = str(error)
        if "pickle" in reason:
            reason = "it holds Python objects, or is no array file at all; pickle is never read"
        raise DataError(f"{path}: not a readable {kind} file: {reason}") from None
