"""Meshes and clouds that trimesh reads: PLY, OBJ, STL, glTF and GLB."""

from __future__ import annotations

import io
import json
import os
import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mgic_geo._optional import require
from mgic_geo.errors import DataError
from mgic_geo.io.cloud import PointCloud, cloud_of_fields
from mgic_geo.io.mesh import Mesh

_PLY_TYPES = {
    *(b"char", b"uchar", b"short", b"ushort", b"int", b"uint", b"float", b"double"),
    *(b"int8", b"uint8", b"int16", b"uint16", b"int32", b"uint32", b"int64", b"uint64"),
    *(b"float16", b"float32", b"float64"),
}
_PROPERTY = re.compile(rb"^(property[ \t]+)(list[ \t]+\S+[ \t]+)?(\S+)([ \t]+)(\S+)", re.MULTILINE)
_GLB_HEADER = struct.Struct("<4sII")
_GLB_CHUNK = struct.Struct("<I4s")


def parse_with_trimesh(data: bytes, path: str | os.PathLike[str], kind: str) -> Mesh | PointCloud:
    """The mesh of a file, or the cloud of one without faces; not yet checked.

    Args:
        data: Content of the file.
        path: Its name, for the message.
        kind: ``"ply"``, ``"obj"``, ``"stl"``, ``"glb"`` or ``"gltf"``.
    """
    trimesh = require("trimesh", extra="mesh")
    data = {"ply": _known_types, "glb": _possible, "gltf": _possible}.get(kind, _as_it_is)(
        data, path
    )
    try:  # from memory: no texture or material file beside it is looked for
        scene = trimesh.load_scene(io.BytesIO(data), file_type=kind, process=False)
        attributes = _attributes(scene)  # before anything computes normals of its own
        parts: list[Any] = scene.dump(concatenate=False)
        vertices, faces, offset = [], [], 0
        for part in parts:
            vertices.append(np.asarray(part.vertices, np.float64).reshape(-1, 3))
            faces.append(np.asarray(getattr(part, "faces", ()), np.int64).reshape(-1, 3) + offset)
            offset += len(vertices[-1])
    except Exception:
        if kind == "obj":
            _name_bad_line(data, path)
        raise
    points = np.concatenate(vertices) if vertices else np.empty((0, 3))
    triangles = np.concatenate(faces) if faces else np.empty((0, 3), np.int64)
    if kind == "obj" and len(triangles) and triangles.max() >= len(points):
        _name_bad_line(data, path)  # a vertex that is none was left out
    if not len(points) or len(triangles) or kind == "stl":
        return Mesh(points, triangles, *(_of_all(part, len(points)) for part in attributes))
    raw = parts[0].metadata.get("_ply_raw", {}).get("vertex", {}).get("data")
    table = _columns(raw)
    if len(parts) == 1 and {"x", "y", "z"} <= set(table):
        return cloud_of_fields(list(table), table.__getitem__, path)
    return PointCloud(points)


def _attributes(scene: Any) -> tuple[list[NDArray[np.float64] | None], ...]:
    """Normals and colours of the vertices of each part, None where the file has none."""
    normals: list[NDArray[np.float64] | None] = []
    colors: list[NDArray[np.float64] | None] = []
    for node in scene.graph.nodes_geometry:
        placed, name = scene.graph[node]
        part = scene.geometry[name]
        if not hasattr(part, "faces"):  # a cloud or a path
            normals.append(None)
            colors.append(None)
            continue
        # trimesh computes normals where they are asked for; those of the file are there already
        if "vertex_normals" in getattr(part, "_cache", ()):
            own = np.asarray(part.vertex_normals, np.float64)
            normals.append(own @ np.linalg.pinv(placed[:3, :3]))
        else:
            normals.append(None)
        visual = getattr(part, "visual", None)
        if getattr(visual, "kind", None) == "vertex":
            assert visual is not None
            colors.append(np.asarray(visual.vertex_colors, np.float64)[:, :3] / 255.0)
        else:
            colors.append(None)
    return normals, colors


def _of_all(parts: list[NDArray[np.float64] | None], count: int) -> NDArray[np.float64] | None:
    """The values of all vertices, None where a part has none."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts) or sum(map(len, known)) != count:
        return None
    return np.concatenate(known)


def _as_it_is(data: bytes, path: str | os.PathLike[str]) -> bytes:
    return data


def _columns(raw: Any) -> dict[str, NDArray[Any]]:
    """The columns of what trimesh keeps of a PLY file: a structured array or a dict of them."""
    if raw is None:
        return {}
    names = raw.dtype.names or () if isinstance(raw, np.ndarray) else raw
    return {name: np.asarray(raw[name]) for name in names}


def _known_types(data: bytes, path: str | os.PathLike[str]) -> bytes:
    """The same PLY file with ``bool``, which trimesh does not know, called a byte."""
    header, end, rest = data.partition(b"end_header")

    def renamed(found: re.Match[bytes]) -> bytes:
        kind, name = found[3], found[5]
        if kind == b"bool":
            kind = b"uchar"
        elif kind not in _PLY_TYPES:
            raise DataError(
                f"{path}: its property {name.decode('ascii', 'replace')!r} has the type "
                f"{kind.decode('ascii', 'replace')!r}, which PLY does not have"
            )
        return found[1] + (found[2] or b"") + kind + found[4] + name

    return _PROPERTY.sub(renamed, header) + end + rest


def _possible(data: bytes, path: str | os.PathLike[str]) -> bytes:
    """The same glTF file, if what it announces can be in it: trimesh would ask for the memory."""
    text = data
    if data[:4] == b"glTF":
        size, _ = _GLB_CHUNK.unpack_from(data, _GLB_HEADER.size)
        start = _GLB_HEADER.size + _GLB_CHUNK.size
        text = data[start : start + size]
    scene = json.loads(text)
    for accessor in scene.get("accessors", ()):
        if accessor["count"] > len(data):
            raise DataError(
                f"{path}: not a readable glTF file: it announces {accessor['count']} values, "
                f"the file has {len(data)} bytes"
            )
    return data


def _name_bad_line(data: bytes, path: str | os.PathLike[str]) -> None:
    """Raises :class:`DataError` with the number of the first line of an OBJ file that is wrong."""
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        kind, *values = line.split("#")[0].split() or [""]
        try:
            bad = kind == "v" and len([float(value) for value in values[:3]]) < 3
            if kind == "f":
                bad = len([int(value.split("/")[0]) for value in values]) < 3
        except ValueError:
            bad = True
        if bad:
            what = "a vertex 'v x y z'" if kind == "v" else "a face 'f i j k'"
            raise DataError(f"{path}: line {number} is not {what} but {line.strip()[:40]!r}")
