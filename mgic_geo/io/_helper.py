"""The helper process of :mod:`mgic_geo.io.apart`."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgic_geo.io.apart import receive, send

_MOST_PER_BYTE = 64  # points a byte of a compressed file
_MOST_BYTES = 1 << 33
_LAS_RECORD, _LAS_EXTRA = 54, 60  # least bytes of a variable length record, and of an extended one
_ARRAYS = ("data", "points", "pos", "xyz", "label", "normal")
Arrays = dict[str, NDArray[Any]]


def read_las(data: bytes) -> Arrays:
    """Positions in their own coordinates, and colours if there are some."""
    import laspy

    _check_las(data)
    with laspy.open(io.BytesIO(data)) as file:
        cloud = file.read()
    found = {"points": _columns(cloud, ("x", "y", "z"))}
    if {"red", "green", "blue"} <= set(cloud.point_format.dimension_names):
        found["colors"] = _columns(cloud, ("red", "green", "blue"))
    found["intensity"] = _columns(cloud, ("intensity",))
    return found


def _check_las(data: bytes) -> None:
    """Refuses a header that announces more than the file can hold: laspy would go through it all.

    The places are those of the `LAS 1.4 specification
    <https://www.asprs.org/wp-content/uploads/2019/07/LAS_1_4_r15.pdf>`_, table 3.
    """
    if data[:4] != b"LASF" or len(data) < 227:
        raise ValueError("it has no LAS header")
    start, records, kind, size, count = struct.unpack_from("<IIBHI", data, 96)
    later, extra = 0, 0
    if data[25] >= 4 and len(data) >= 375:
        later, extra, long_count = struct.unpack_from("<QIQ", data, 235)
        count = max(count, long_count)
    compressed = bool(kind & 0x80)
    need = count // _MOST_PER_BYTE if compressed else count * size
    if (
        start + need > len(data)
        or _LAS_RECORD * records > start
        or (extra and later + _LAS_EXTRA * extra > len(data))
    ):
        raise ValueError(f"it is truncated: {count} points are announced, it has {len(data)} bytes")


def read_hdf5(data: bytes) -> Arrays:
    """Those arrays at the top of the file that have a name we know, or the only one."""
    import h5py

    with h5py.File(io.BytesIO(data), "r") as file:
        arrays = [name for name in file if isinstance(file[name], h5py.Dataset)]
        known = [name for name in arrays if name in _ARRAYS]
        wanted = arrays if len(arrays) == 1 else known
        if not wanted:
            there = ", ".join(arrays) or "none"
            raise ValueError(f"which array is the cloud? It has {there}; call it 'data'")
        found = {}
        for name in wanted:
            if file[name].nbytes > _MOST_BYTES:
                raise ValueError(f"{name!r} has {file[name].nbytes} bytes")
            array = np.asarray(file[name][()])
            if array.dtype.kind not in "fiu":
                raise ValueError(f"{name!r} holds no numbers")
            found[name] = array.astype(array.dtype.newbyteorder("="))
        return found


def _columns(table: Any, names: tuple[str, ...]) -> NDArray[np.float64]:
    return np.stack([np.asarray(table[name], np.float64) for name in names], axis=1)


READERS: dict[str, Callable[[bytes], Arrays]] = {"las": read_las, "hdf5": read_hdf5}


def main() -> None:
    _limit()
    # what compiled code prints must not get between the answers
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    while (request := receive(stdin)) is not None:
        message, data = request
        try:
            arrays = READERS[message["kind"]](data)
        except BaseException as error:  # Rust's panics are no Exception
            text = " ".join(f"{type(error).__name__} {error}".split())
            send(stdout, {"error": text.removeprefix("ValueError ")}, b"")
        else:
            head = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
            content = b"".join(np.ascontiguousarray(part).tobytes() for part in arrays.values())
            send(stdout, {"arrays": head}, content)


def _limit() -> None:
    """Lets a file that asks for all memory fail before the machine does."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_AS, (3 * _MOST_BYTES, most))


if __name__ == "__main__":
    main()
