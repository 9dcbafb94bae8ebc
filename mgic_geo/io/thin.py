"""Clouds of many million points, read in pieces of which a random part is kept.

What is kept is a small file of the same format, for the reader that the format has anyway.
"""

from __future__ import annotations

import gzip
import io
import re
import struct
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mgic_geo.io._progress import progress_bar
from mgic_geo.io.pcd import pcd_header, pcd_layout

MANY = 1 << 20
"""Points from which on a part will do."""
_LARGE = 8 << 20  # bytes: smaller files do not hold as many
_PIECE = 1 << 16  # points
_BLOCK = 1 << 22  # bytes of text
_HEADER = 1 << 16  # bytes, at most
_LAS_HEADER, _LAS_HEADER_14 = 227, 375  # bytes
_PLY_SIZES = {
    **dict.fromkeys(("char", "uchar", "int8", "uint8", "bool"), 1),
    **dict.fromkeys(("short", "ushort", "int16", "uint16", "float16"), 2),
    **dict.fromkeys(("int", "uint", "int32", "uint32", "float", "float32"), 4),
    **dict.fromkeys(("int64", "uint64", "double", "float64"), 8),
}


def thin_file(path: Path, suffix: str, most: int, seed: int = 0) -> bytes | None:
    """A file like this one with ``most`` of its points, drawn without looking at all at once.

    Memory is bounded by ``most``, whatever the size of the file. Each point gets a random number,
    and those with the smallest are kept, in their order (Vitter, "Random sampling with a
    reservoir", 1985): what is drawn follows from the seed alone.

    Args:
        path: The file, which may end in ``.gz``.
        suffix: Its format, as :func:`~mgic_geo.io.shape_suffix` says it.
        most: Points to keep.
        seed: Seed of the draw.

    Returns:
        Content of the small file; None where all points should be read: there are at most
        :data:`MANY`, it is a mesh, or of a format that cannot be read in pieces.

    Raises:
        ValueError: It is truncated.
        OSError: It cannot be read.
    """
    if suffix not in _THIN or path.stat().st_size < _LARGE:
        return None
    with path.open("rb") as file:
        packed = path.suffix.lower() == ".gz"
        whole: BinaryIO = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
        return _THIN[suffix](whole, _Draw(most, seed))


class _Draw:
    """Draws rows from a stream without replacement."""

    def __init__(self, most: int, seed: int) -> None:
        self.most = most
        self.total = 0
        self._rng = np.random.default_rng(seed)
        self._bound = 1.0
        self._keys = np.empty(0)
        self._rows: NDArray | None = None

    def add(self, rows: NDArray) -> None:
        keys = self._rng.random(len(rows))
        new = keys < self._bound
        self.total += len(rows)
        self._keys = np.concatenate([self._keys, keys[new]])
        # at the first call a copy, too: the piece that the rows are of must not stay
        parts = [rows[new]] if self._rows is None else [self._rows, rows[new]]
        self._rows = np.concatenate(parts)
        if len(self._keys) > 2 * self.most:
            self._shrink()

    def rows(self) -> NDArray:
        self._shrink()
        assert self._rows is not None
        return self._rows

    def _shrink(self) -> None:
        if self._rows is not None and len(self._keys) > self.most:
            self._bound = float(np.partition(self._keys, self.most)[self.most])
            kept = self._keys < self._bound
            self._keys, self._rows = self._keys[kept], self._rows[kept]


def _draw_records(file: BinaryIO, count: int, size: int, draw: _Draw) -> bytes:
    """Some of ``count`` records of ``size`` bytes each, which come next."""
    with progress_bar(None, total=count, desc="Reading", unit=" points", leave=False) as bar:
        for start in range(0, count, _PIECE):
            piece = min(_PIECE, count - start)
            data = file.read(piece * size)
            if len(data) < piece * size:
                there = start + len(data) // size
                raise ValueError(f"it is truncated: {count} points are announced, {there} follow")
            draw.add(np.frombuffer(data, np.uint8).reshape(piece, size))
            bar.update(piece)
    return draw.rows().tobytes()


def _lines(file: BinaryIO, first: bytes = b"") -> Iterator[list[bytes]]:
    """The lines of a text, many at a time."""
    rest = first
    while block := file.read(_BLOCK):
        whole, end, rest = (rest + block).rpartition(b"\n")
        if end:
            yield whole.splitlines()
    if rest:
        yield rest.splitlines()


def _draw_lines(parts: Iterator[list[bytes]], count: int | None, draw: _Draw) -> list[bytes]:
    """Some of ``count`` lines, or of all."""
    with progress_bar(None, total=count, desc="Reading", unit=" points", leave=False) as bar:
        for lines in parts:
            if count is not None:
                lines = lines[: count - draw.total]
            rows = np.empty(len(lines), dtype=object)
            rows[:] = lines
            draw.add(rows)
            bar.update(len(lines))
    if count is not None and draw.total < count:
        raise ValueError(f"it is truncated: {count} points are announced, {draw.total} follow")
    return list(draw.rows())


def _npy(file: BinaryIO, draw: _Draw) -> bytes | None:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        return None
    shape, by_columns, dtype = read(file)
    if by_columns or dtype.hasobject or len(shape) not in (1, 2) or shape[0] <= MANY:
        return None
    kept = _draw_records(file, shape[0], dtype.itemsize * int(np.prod(shape[1:])), draw)
    out = io.BytesIO()
    np.save(out, np.frombuffer(kept, dtype).reshape(-1, *shape[1:]))
    return out.getvalue()


def _ply(file: BinaryIO, draw: _Draw) -> bytes | None:
    header = b""
    while not header.endswith((b"end_header\n", b"end_header\r\n")):
        line = file.readline(_HEADER)
        header += line
        if not line or len(header) > _HEADER:
            return None
    words = [line.split() for line in header.decode("ascii", "replace").splitlines()]
    kind = next((w[1] for w in words if w[:1] == ["format"] and len(w) > 1), "")
    counts = [(w[1], int(w[2])) for w in words if w[:1] == ["element"] and len(w) == 3]
    if not counts or counts[0][0] != "vertex" or any(count for _, count in counts[1:]):
        return None  # a mesh, or something else behind the points
    count = counts[0][1]
    ends = [i for i, w in enumerate(words) if w[:1] == ["element"]] + [len(words)]
    types = [w[1] for w in words[ends[0] : ends[1]] if w[:1] == ["property"]]
    if count <= MANY or not types or any(name not in _PLY_SIZES for name in types):
        return None
    if kind == "ascii":
        kept = b"\n".join(_draw_lines(_lines(file), count, draw)) + b"\n"
    else:
        kept = _draw_records(file, count, sum(_PLY_SIZES[name] for name in types), draw)
    return re.sub(rb"(element\s+vertex\s+)\d+", rb"\g<1>%d" % _number(draw), header, count=1) + kept


def _pcd(file: BinaryIO, draw: _Draw) -> bytes | None:
    first = file.read(_HEADER)
    header, start = pcd_header(first)
    kind = header.get("DATA", [""])[0].lower()
    if kind not in ("ascii", "binary") or not all(map(header.get, ("FIELDS", "SIZE", "TYPE"))):
        return None  # compressed as a whole, or damaged
    dtype, count = pcd_layout(header)
    if count <= MANY:
        return None
    if kind == "ascii":
        kept = b"\n".join(_draw_lines(_lines(file, first[start:]), count, draw)) + b"\n"
    else:
        file.seek(start)
        kept = _draw_records(file, count, dtype.itemsize, draw)
    head = first[:start]
    for key, value in ((b"WIDTH", _number(draw)), (b"HEIGHT", 1), (b"POINTS", _number(draw))):
        head = re.sub(rb"(?im)^(%s\s+)\d+" % key, rb"\g<1>%d" % value, head)
    return head + kept


def _las(file: BinaryIO, draw: _Draw) -> bytes | None:
    head = file.read(_LAS_HEADER)
    if len(head) < _LAS_HEADER or head[:4] != b"LASF":
        return None
    (start,) = struct.unpack_from("<I", head, 96)
    kind, size, count = struct.unpack_from("<BHI", head, 104)
    if kind & 0x80 or not size or not _LAS_HEADER <= start <= _LARGE:
        return None  # LAZ in disguise, or damaged
    new = bytearray(head + file.read(start - len(head)))
    later = new[25] >= 4 and len(new) >= _LAS_HEADER_14
    if later:
        count = max(count, struct.unpack_from("<Q", new, 247)[0])
    if count <= MANY:
        return None
    kept = _draw_records(file, count, size, draw)
    struct.pack_into("<I", new, 107, _number(draw))
    if later:
        struct.pack_into("<QI", new, 235, 0, 0)  # nothing follows the points
        struct.pack_into("<Q", new, 247, _number(draw))
    return bytes(new) + kept


def _text(file: BinaryIO, draw: _Draw) -> bytes | None:
    head, counted = [], b""
    for line in islice(iter(file.readline, b""), 4):
        words = line.decode("utf-8-sig", "replace").replace(",", " ").replace(";", " ").split()
        if len(words) == 1 and words[0].isdigit():
            continue  # their number, no longer right
        if words and _is_number(words[0]):
            counted = line
            break
        head.append(line)
    lines = _draw_lines(_lines(file, counted), None, draw)
    return None if draw.total <= MANY else b"".join(head) + b"\n".join(lines) + b"\n"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _number(draw: _Draw) -> int:
    return len(draw.rows())


_THIN: dict[str, Callable[[BinaryIO, _Draw], bytes | None]] = {
    ".npy": _npy,
    ".ply": _ply,
    ".pcd": _pcd,
    ".las": _las,
    **dict.fromkeys((".xyz", ".txt", ".csv", ".pts"), _text),
}
