"""Point Cloud Data files (PCD 0.5 to 0.7)."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mgic_geo.io._guard import reading
from mgic_geo.io.cloud import OnNan, PointCloud, cloud_of_fields

_MAX_HEADER_LINES = 64
_KEPT = ("x", "y", "z", "normal_x", "normal_y", "normal_z", "rgb", "rgba")


def read_pcd(path: str | os.PathLike[str], on_nan: OnNan = "drop") -> NDArray[np.float64]:
    r"""Reads the positions of a PCD file: ASCII, binary or compressed binary.

    The fields ``x``, ``y`` and ``z`` may stand anywhere among others and have any numeric type.

    Args:
        path: The file.
        on_nan: What becomes of points where a depth camera saw nothing, see
            :meth:`PointCloud.check`.

    Returns:
        Points ``[N, 3]`` in the file's units.

    Raises:
        DataError: It is no PCD file, is truncated, or has no positions that are finite.
        OSError: It cannot be opened.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.io import read_pcd
        >>> header = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 2\nHEIGHT 1\nDATA ascii\n"
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "scan.pcd"
        ...     _ = path.write_text(header + "0 0 0\n1 2 3\n")
        ...     read_pcd(path).tolist()
        [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]
    """
    data = Path(path).read_bytes()
    with reading(path, "PCD"):
        cloud = parse_pcd(data, path)
    return cloud.check(path, on_nan).points


def parse_pcd(data: bytes, path: str | os.PathLike[str]) -> PointCloud:
    """The cloud of a PCD file with its normals and colours; not yet checked."""
    header, start = pcd_header(data)
    for name in ("FIELDS", "SIZE", "TYPE", "DATA"):
        if not header.get(name):
            raise ValueError(f"there is no {name} in its header")
    dtype, count = pcd_layout(header)
    encoding = header["DATA"][0].lower()
    if encoding not in _READERS:
        raise ValueError(f"its DATA is {encoding!r}, not one of {', '.join(_READERS)}")
    columns = _READERS[encoding](data[start:], dtype, count)
    packed = columns.pop("rgb", columns.pop("rgba", None))
    if packed is not None:
        columns |= _unpack_colors(packed)
    return cloud_of_fields(list(columns), columns.__getitem__, path)


def _unpack_colors(packed: NDArray) -> dict[str, NDArray]:
    """Red, green and blue are bytes of one number, of type F, U or I."""
    if packed.dtype.itemsize != 4:
        packed = packed.astype(np.float32)
    bits = packed.view(np.uint32)
    return {name: bits >> shift & 255 for name, shift in (("r", 16), ("g", 8), ("b", 0))}


def pcd_header(data: bytes) -> tuple[dict[str, list[str]], int]:
    """The entries of the header, and where the points begin."""
    header: dict[str, list[str]] = {}
    stream = io.BytesIO(data)
    for _ in range(_MAX_HEADER_LINES):
        key, *values = stream.readline().decode("ascii", "replace").split() or [""]
        if key and not key.startswith("#"):
            header[key.upper()] = values
        if key.upper() == "DATA":
            break
    return header, stream.tell()


def pcd_layout(header: dict[str, list[str]]) -> tuple[np.dtype, int]:
    """The record of one point and the number of points."""
    names = header["FIELDS"]
    repeats = [int(value) for value in header.get("COUNT", ["1"] * len(names))]
    sizes, kinds = header["SIZE"], header["TYPE"]
    if not len(names) == len(sizes) == len(kinds) == len(repeats):
        raise ValueError("FIELDS, SIZE, TYPE and COUNT have different lengths")
    for axis in "xyz":
        if axis not in names:
            raise ValueError(f"there is no field {axis!r} among {' '.join(names)}")
    if min(repeats) < 0:
        raise ValueError("a COUNT is negative")
    # padding fields are all called "_", so every field gets a name of its own
    fields = [
        (
            name if name in _KEPT and names.index(name) == i else f"{name}_{i}",
            f"<{kind.lower()}{size}",
            (repeat,) if repeat != 1 else (),
        )
        for i, (name, kind, size, repeat) in enumerate(
            zip(names, kinds, sizes, repeats, strict=True)
        )
    ]
    if "POINTS" in header:
        count = int(header["POINTS"][0])
    else:
        count = int(header["WIDTH"][0]) * int(header["HEIGHT"][0])
    if count < 0:
        raise ValueError(f"it announces {count} points")
    return np.dtype(fields), count


def _columns(records: NDArray[np.void]) -> dict[str, NDArray]:
    kept = [name for name in records.dtype.names or () if name in _KEPT]
    return {name: np.ascontiguousarray(records[name]) for name in kept}


def _need(have: int, need: int, what: str) -> None:
    if have < need:
        raise ValueError(f"it is truncated: {need} {what} are announced, {have} follow")


def _read_ascii(body: bytes, dtype: np.dtype, count: int) -> dict[str, NDArray]:
    rows = body.split()
    width = sum(max(1, int(np.prod(dtype[name].shape))) for name in dtype.names or ())
    _need(len(rows) // width, count, "points")
    table = np.array(rows[: count * width], dtype="S").reshape(count, width)
    column = 0
    columns: dict[str, NDArray] = {}
    for name in dtype.names or ():
        if name in ("rgb", "rgba") and dtype[name].kind in "ui":
            columns[name] = table[:, column].astype(np.int64).astype(np.uint32)
        elif name in _KEPT:
            values = table[:, column].astype(np.float64)
            columns[name] = values.astype(np.float32) if name in ("rgb", "rgba") else values
        column += max(1, int(np.prod(dtype[name].shape)))
    return columns


def _read_binary(body: bytes, dtype: np.dtype, count: int) -> dict[str, NDArray]:
    _need(len(body), count * dtype.itemsize, "bytes")
    return _columns(np.frombuffer(body, dtype, count))


def _read_compressed(body: bytes, dtype: np.dtype, count: int) -> dict[str, NDArray]:
    packed, size = struct.unpack_from("<II", body)
    _need(len(body) - 8, packed, "bytes")
    _need(size, count * dtype.itemsize, "bytes")
    plain = _lzf_decompress(body[8 : 8 + packed], size)
    # the fields follow one another, each for all points
    records, at = np.empty(count, dtype), 0
    for name in dtype.names or ():
        records[name] = np.frombuffer(plain, dtype[name], count, at)
        at += count * dtype[name].itemsize
    return _columns(records)


def _lzf_decompress(packed: bytes, size: int) -> bytes:
    """LibLZF: a byte < 32 starts a run of literals, another one a copy of earlier output."""
    out, at = bytearray(), 0
    while at < len(packed):
        control = packed[at]
        at += 1
        if control < 32:
            out += packed[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += packed[at]
            at += 1
        start = len(out) - ((control & 31) << 8) - packed[at] - 1
        at += 1
        if start < 0:
            raise ValueError("the compressed data are damaged")
        length += 2
        chunk = out[start : start + length]
        while len(chunk) < length:  # the copy runs into what it writes: it repeats
            chunk += chunk[: length - len(chunk)]
        out += chunk
    if len(out) != size:
        raise ValueError(f"the compressed data hold {len(out)} bytes instead of {size}")
    return bytes(out)


_READERS = {
    "ascii": _read_ascii,
    "binary": _read_binary,
    "binary_compressed": _read_compressed,
}
