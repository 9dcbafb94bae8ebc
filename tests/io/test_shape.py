from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mgic_geo.errors import DataError
from mgic_geo.io import Mesh, read_cloud_or_mesh, write_off

POINTS = np.random.default_rng(0).normal(size=(20, 3))
BOX = """solid
facet normal 0 0 1
outer loop
vertex 0 0 0
vertex 1 0 0
vertex 0 1 0
endloop
endfacet
endsolid
"""
PLY = """ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
element face {faces}
property list uchar int vertex_indices
end_header
0 0 0
1 0 0
1 1 0
0 1 0
{rows}"""
CORNERS = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


@pytest.mark.parametrize(
    ("name", "text", "area"),
    [
        ("a.stl", BOX, 0.5),
        ("a.PLY", PLY.format(faces=1, rows="4 0 1 2 3\n"), 1.0),
        ("a.obj", f"mtllib none.mtl\n{CORNERS}usemtl a\nf 1 2 3 4\n", 1.0),
        ("a.obj", f"{CORNERS}o one\nf 1 2 3\no two\nf 1/1 3/1 4/1\n", 1.0),
    ],
)
def test_meshes_through_trimesh(tmp_path: Path, name: str, text: str, area: float) -> None:
    pytest.importorskip("trimesh", reason="trimesh (extra mesh) is not installed")
    (tmp_path / name).write_text(text)
    mesh = read_cloud_or_mesh(tmp_path / name)
    assert isinstance(mesh, Mesh)
    assert mesh.area == pytest.approx(area)


@pytest.mark.parametrize(
    ("name", "text"), [("a.ply", PLY.format(faces=0, rows="")), ("a.obj", CORNERS)]
)
def test_no_faces_is_a_cloud(tmp_path: Path, name: str, text: str) -> None:
    pytest.importorskip("trimesh", reason="trimesh (extra mesh) is not installed")
    (tmp_path / name).write_text(text)
    points = read_cloud_or_mesh(tmp_path / name)
    assert isinstance(points, np.ndarray)
    assert points.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]


def test_meshes_and_clouds_without_extras(tmp_path: Path) -> None:
    write_off(tmp_path / "a.off", Mesh(POINTS[:3], [[0, 1, 2]]))
    assert isinstance(read_cloud_or_mesh(tmp_path / "a.off"), Mesh)
    six = np.hstack([POINTS, POINTS])
    np.save(tmp_path / "a.npy", six)
    np.savez(tmp_path / "a.npz", pos=POINTS, other=POINTS + 1)
    np.savez(tmp_path / "b.npz", anything=six)
    np.savetxt(tmp_path / "a.xyz", six, fmt="%.17g", header="x y z nx ny nz")
    rows = [f"{x!r}, {y!r},{z!r} // a point" for x, y, z in POINTS.tolist()]
    (tmp_path / "b.xyz").write_text("\n// by hand\n" + "\r\n".join(rows))
    for name in ("a.npy", "a.npz", "b.npz", "a.xyz", "b.xyz"):
        np.testing.assert_array_equal(read_cloud_or_mesh(tmp_path / name), POINTS)


def test_pickles_are_never_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", points=np.array([{}], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(DataError, match="pickle is never read"):
            read_cloud_or_mesh(tmp_path / name)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((0, 3)), "an empty cloud"),
        (np.zeros((5, 2)), r"shape \[5, 2\]"),
        (np.zeros(9), r"shape \[9\]"),
        (np.array([["a", "b", "c"]]), "array of numbers"),
        (np.ones((5, 3)), "all 5 points are the same"),
        (POINTS * [1, np.inf, 1], "20 of 20 points have NaN or infinite"),
    ],
)
def test_unusable_clouds(tmp_path: Path, array: np.ndarray, says: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=says):
        read_cloud_or_mesh(tmp_path / "a.npy")


@pytest.mark.parametrize("suffix", ["off", "ply", "obj", "stl", "pcd", "xyz", "npy", "npz", "dwg"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01\xff rubbish" * 40, b"hello world\n"])
def test_rubbish_is_an_error_of_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    if suffix in ("ply", "obj", "stl"):
        pytest.importorskip("trimesh", reason="trimesh (extra mesh) is not installed")
    file = tmp_path / f"rubbish.{suffix}"
    file.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_cloud_or_mesh(file)
    assert str(error.value).startswith(f"{file}: ")
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < len(str(file)) + 200


def test_the_bad_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("# cloud\n1 2 3\n\n4 5\n")
    with pytest.raises(DataError, match="line 4 is not 'x y z' but '4 5'"):
        read_cloud_or_mesh(tmp_path / "a.xyz")


def test_the_array_is_not_guessed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=POINTS, b=POINTS)
    with pytest.raises(DataError, match="It has a, b"):
        read_cloud_or_mesh(tmp_path / "a.npz")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "trimesh", None)
    (tmp_path / "a.stl").write_text(BOX)
    with pytest.raises(ImportError, match=r"mgic_geo\[mesh\]"):
        read_cloud_or_mesh(tmp_path / "a.stl")
