"""Pickles of plain values and NumPy arrays, from strangers: nothing in them is run."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from mgic_geo.errors import DataError

_RECONSTRUCT = np.empty(0).__reduce__()[0]  # its module has had two names
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"asks for {module}.{name}; do not trust it") from None


def load_plain(data: bytes, name: str) -> dict[bytes, Any]:
    """Reads a pickled dictionary as Python 2 wrote them: its strings are bytes.

    Args:
        data: The pickle.
        name: What an error message calls it.

    Raises:
        DataError: It is damaged, no dictionary, or holds anything else than plain values and
            NumPy arrays.
    """
    try:
        content = _PlainUnpickler(io.BytesIO(data), encoding="bytes").load()
    except MemoryError:
        raise
    except Exception as error:  # damaged pickles raise whatever their opcodes run into
        raise DataError(f"{name}: not a readable batch of images ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{name}: holds a {type(content).__name__}, no dictionary")
    return content
