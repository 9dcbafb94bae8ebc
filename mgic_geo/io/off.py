"""The Object File Format, in the forms that the wild has."""

from __future__ import annotations

import os
import re
import warnings
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mgic_geo.errors import DataError
from mgic_geo.io.atomic import atomic_write
from mgic_geo.io.cloud import unit_colors
from mgic_geo.io.mesh import Mesh, fan_triangles

_HEADER = re.compile(rb"(?P<prefix>(?:ST)?C?N?4?n?)OFF(?=[\s\d]|$)(?P<binary>[ \t]+BINARY\b)?")
_COUNTS = re.compile(rb"\s*(\d+)[ \t]+(\d+)(?:[ \t]+\S+)*[ \t]*\r?(?:\n|\r|$)")
_COMMENT = re.compile(rb"#[^\r\n]*")


def read_off(path: str | os.PathLike[str]) -> Mesh:
    r"""Reads a surface from an OFF file.

    Understood besides the plain form: counts on the header's line, with or without a space
    (``OFF490 518 0``), comments, blank lines, CRLF, polygons of any size (cut into fans of
    triangles), colours behind faces or vertices, and the headers ``COFF``, ``NOFF``, ``CNOFF`` and
    ``STOFF``. Normals and colours of vertices are kept, those of faces are not.

    Args:
        path: The file.

    Returns:
        The checked mesh (see :meth:`Mesh.check`).

    Raises:
        DataError: It is no OFF file, is truncated, or its mesh is unusable.
        OSError: It cannot be opened.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.io import read_off
        >>> with TemporaryDirectory() as folder:  # the header of ModelNet, and a square
        ...     path = Path(folder) / "square.off"
        ...     _ = path.write_text("OFF4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n")
        ...     mesh = read_off(path)
        >>> mesh.faces.tolist(), mesh.area  # cut into two triangles
        ([[0, 1, 2], [0, 2, 3]], 1.0)
    """
    return parse_off(Path(path).read_bytes(), path).check(path)


def parse_off(data: bytes, path: str | os.PathLike[str]) -> Mesh:
    """The mesh of an OFF file; not yet checked."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"#" in data:
        data = _COMMENT.sub(b"", data)
    data = data.lstrip()
    header = _HEADER.match(data)
    if header is None:
        raise DataError(f"{path}: not an OFF file (it starts with {data[:12]!r})")
    if header["binary"] or re.search(rb"[4n]", header["prefix"]):
        raise DataError(
            f"{path}: binary or higher-dimensional OFF ({header[0].decode()}) is not supported; "
            "save it as a plain ASCII OFF file"
        )
    counts = _COUNTS.match(data, header.end())
    if counts is None:
        raise DataError(f"{path}: the OFF header has no counts of vertices and faces")
    num_vertices, num_faces = int(counts[1]), int(counts[2])
    if not num_vertices or not num_faces:
        raise DataError(f"{path}: an empty mesh ({num_vertices} vertices, {num_faces} faces)")
    body = data[counts.end() :]
    try:
        mesh = None if header["prefix"] else _uniform(_numbers(body), num_vertices, num_faces)
        mesh = mesh or _any_form(body, num_vertices, num_faces, header["prefix"].decode())
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a readable OFF file: {error}") from None
    return mesh


def _numbers(text: bytes) -> NDArray[np.float64]:
    with warnings.catch_warnings():  # NumPy only warns when the text ends in something else
        warnings.simplefilter("error", DeprecationWarning)
        try:
            return np.fromstring(text.decode("ascii"), sep=" ")
        except (DeprecationWarning, ValueError):
            raise ValueError("it has text where numbers should be") from None


def _integers(values: NDArray[np.float64]) -> NDArray[np.int64]:
    # NaN fails the comparison too
    if not (np.abs(values) < 2**53).all() or (values != np.floor(values)).any():
        raise ValueError("a face has an index that is no whole number")
    return values.astype(np.int64)


def _uniform(values: NDArray[np.float64], num_vertices: int, num_faces: int) -> Mesh | None:
    """The fast path: all faces have the same number of corners and no colours."""
    corners, rest = divmod(values.size - 3 * num_vertices, num_faces)
    if rest or corners < 4:
        return None
    vertices, faces = np.split(values, [3 * num_vertices])
    faces = faces.reshape(num_faces, corners)
    if (faces[:, 0] != corners - 1).any():
        return None
    indices = _integers(faces[:, 1:])
    if corners > 4:
        indices = fan_triangles(indices.ravel(), np.full(num_faces, corners - 1))
    return Mesh(vertices, indices)


def _any_form(body: bytes, num_vertices: int, num_faces: int, prefix: str) -> Mesh:
    normals = colors = None
    lines = [line for line in body.splitlines() if line and not line.isspace()]
    if len(lines) >= num_vertices + num_faces:
        vertices = _first_columns(lines[:num_vertices])
        normals, colors = _attributes(lines[:num_vertices], prefix)
        polygons = [_polygon(line) for line in lines[num_vertices : num_vertices + num_faces]]
    elif not prefix:  # not one item a line: a stream of numbers, which leaves no room for colours
        values = _numbers(body)
        vertices, polygons = values[: 3 * num_vertices], []
        stream, at = _integers(values[3 * num_vertices :]).tolist(), 0
        while len(polygons) < num_faces and at < len(stream):
            polygons.append(stream[at + 1 : at + 1 + stream[at]])
            at += 1 + max(stream[at], 0)
        if len(polygons) < num_faces or at > len(stream):
            raise ValueError(
                f"it is truncated: {num_vertices} vertices and {num_faces} faces are announced, "
                f"{len(lines)} lines follow"
            )
    else:
        raise ValueError(
            f"it is truncated: {num_vertices} vertices and {num_faces} faces are announced, "
            f"{len(lines)} lines follow"
        )
    sizes = [len(polygon) for polygon in polygons]
    corners = np.fromiter(chain.from_iterable(polygons), np.int64, sum(sizes))
    return Mesh(vertices, fan_triangles(corners, sizes), normals, colors)


def _attributes(
    lines: list[bytes], prefix: str
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Normals and colours behind the coordinates of all vertices; None where they are not."""
    rows = [line.split()[3:] for line in lines]
    width = min(map(len, rows))
    if width < 3:
        return None, None
    first = 3 if "N" in prefix else 0
    # plain OFF of MeshLab and others has colours as COFF has, of 3 or 4 numbers
    colored = width >= first + 3 and ("C" in prefix or (not prefix and width in (3, 4)))
    try:
        table = np.array([row[:width] for row in rows], dtype="S").astype(np.float64)
    except ValueError:
        return None, None
    normals = table[:, :3] if first else None
    return normals, unit_colors(table[:, first : first + 3]) if colored else None


def _first_columns(lines: list[bytes]) -> NDArray[np.float64]:
    """The first three numbers of each line; what follows are normals, colours or texture."""
    rows = [line.split(None, 3)[:3] for line in lines]
    if any(len(row) < 3 for row in rows):
        raise ValueError("a vertex has fewer than three coordinates")
    return np.array(rows, dtype="S").astype(np.float64)


def _polygon(line: bytes) -> list[int]:
    size = int(line.split(None, 1)[0])
    corners = [int(token) for token in line.split(None, size + 1)[1 : size + 1]]
    if size < 0 or len(corners) != size:
        raise ValueError(f"a face announces {size} corners and has {len(corners)}")
    return corners


def write_off(path: str | os.PathLike[str], mesh: Mesh) -> None:
    """Writes a triangle mesh as ASCII OFF, whole or not at all.

    Coordinates have as many digits as it takes to read the same numbers back.

    Args:
        path: The file; its folder is made where it is missing.
        mesh: The mesh.

    Raises:
        DataError: The disk is full.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.io import Mesh, read_off, write_off
        >>> mesh = Mesh([[0, 0, 0], [0.1, 0, 0], [0, 0.3, 0]], faces=[[0, 1, 2]])
        >>> with TemporaryDirectory() as folder:
        ...     write_off(f"{folder}/triangle.off", mesh)
        ...     again = read_off(f"{folder}/triangle.off")
        >>> bool((again.vertices == mesh.vertices).all())  # to the last bit
        True
    """
    parts = [f"OFF\n{len(mesh.vertices)} {len(mesh.faces)} 0"]
    parts += [f"{x!r} {y!r} {z!r}" for x, y, z in mesh.vertices.tolist()]
    parts += [f"3 {a} {b} {c}" for a, b, c in mesh.faces.tolist()]
    with atomic_write(path, "w", encoding="ascii", newline="\n") as file:
        file.write("\n".join(parts) + "\n")
