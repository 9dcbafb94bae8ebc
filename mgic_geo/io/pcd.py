"""Point Cloud Data files (PCD 0.5 to 0.7)."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mgic_geo.errors import DataError
from mgic_geo.io.cloud import check_cloud

_MAX_HEADER_LINES = 64


def read_pcd(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Reads the positions of a PCD file: ASCII, binary or compressed binary.

    The fields ``x``, ``y`` and ``z`` may stand anywhere among others and have any numeric type.

    Args:
        path: The file.

    Returns:
        Points ``[N, 3]`` in the file's units.

    Raises:
        DataError: It is no PCD file, is truncated, or has NaN or infinite positions.
        OSError: It cannot be opened.
    """
    data = Path(path).read_bytes()
    try:
        header, start = _header(data)
        dtype, count = _layout(header)
        points = _READERS[header["DATA"][0].lower()](data[start:], dtype, count)
    except KeyError as error:
        raise DataError(f"{path}: not a PCD file that can be read: no or unknown {error}") from None
    except (ValueError, TypeError, IndexError, struct.error) as error:
        raise DataError(f"{path}: not a PCD file that can be read: {error}") from None
    return check_cloud(points, path)


def _header(data: bytes) -> tuple[dict[str, list[str]], int]:
    header: dict[str, list[str]] = {}
    stream = io.BytesIO(data)
    for _ in range(_MAX_HEADER_LINES):
        key, *values = stream.readline().decode("ascii", "replace").split() or [""]
        if key and not key.startswith("#"):
            header[key.upper()] = values
        if key.upper() == "DATA":
            break
    return header, stream.tell()


def _layout(header: dict[str, list[str]]) -> tuple[np.dtype, int]:
    """The record of one point and the number of points."""
    names = header["FIELDS"]
    repeats = [int(value) for value in header.get("COUNT", ["1"] * len(names))]
    sizes, kinds = header["SIZE"], header["TYPE"]
    if not len(names) == len(sizes) == len(kinds) == len(repeats):
        raise ValueError("FIELDS, SIZE, TYPE and COUNT have different lengths")
    for axis in "xyz":
        if axis not in names:
            raise ValueError(f"there is no field {axis!r} among {' '.join(names)}")
    # padding fields are all called "_", so every field gets a name of its own
    fields = [
        (
            name if name in "xyz" else f"{name}_{i}",
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
    return np.dtype(fields), count


def _xyz(records: NDArray[np.void]) -> NDArray[np.float64]:
    return np.stack([records[axis].astype(np.float64) for axis in "xyz"], axis=1)


def _need(have: int, need: int, what: str) -> None:
    if have < need:
        raise ValueError(f"it is truncated: {need} {what} are announced, {have} follow")


def _read_ascii(body: bytes, dtype: np.dtype, count: int) -> NDArray[np.float64]:
    rows = body.split()
    width = sum(max(1, int(np.prod(dtype[name].shape))) for name in dtype.names or ())
    _need(len(rows) // width, count, "points")
    table = np.array(rows[: count * width], dtype="S").reshape(count, width)
    column, columns = 0, []
    for name in dtype.names or ():
        if name in "xyz":
            columns.append((name, column))
        column += max(1, int(np.prod(dtype[name].shape)))
    return table[:, [column for _, column in sorted(columns)]].astype(np.float64)


def _read_binary(body: bytes, dtype: np.dtype, count: int) -> NDArray[np.float64]:
    _need(len(body), count * dtype.itemsize, "bytes")
    return _xyz(np.frombuffer(body, dtype, count))


def _read_compressed(body: bytes, dtype: np.dtype, count: int) -> NDArray[np.float64]:
    packed, size = struct.unpack_from("<II", body)
    _need(len(body) - 8, packed, "bytes")
    _need(size, count * dtype.itemsize, "bytes")
    plain = _lzf_decompress(body[8 : 8 + packed], size)
    # the fields follow one another, each for all points
    records, at = np.empty(count, dtype), 0
    for name in dtype.names or ():
        records[name] = np.frombuffer(plain, dtype[name], count, at)
        at += count * dtype[name].itemsize
    return _xyz(records)


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
