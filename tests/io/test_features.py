from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from mgic_geo.errors import DataError
from mgic_geo.io import Mesh, PointCloud, as_shape, parse_features, read_shape
from mgic_geo.io.features import cloud_features, mesh_features, normals_column

RNG = np.random.default_rng(0)
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.5]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
NORMALS = np.array([[0, 0, 1], [0, 0.6, 0.8], [0.6, 0, 0.8], [1, 0, 0]])
COLORS = np.array([[255, 0, 0], [0, 255, 51], [0, 0, 255], [51, 102, 204]])


def rows(*columns: np.ndarray) -> list[str]:
    return [" ".join(f"{value:g}" for value in row) for row in np.hstack(columns)]


def off(header: str, *columns: np.ndarray) -> str:
    return "\n".join([header, "4 2 0", *rows(CORNERS, *columns), "3 0 1 2", "3 0 2 3"]) + "\n"


def ply() -> str:
    names = ["float x", "float y", "float z", "float nx", "float ny", "float nz"]
    names += ["uchar red", "uchar green", "uchar blue"]
    properties = "".join(f"property {name}\n" for name in names)
    head = f"ply\nformat ascii 1.0\nelement vertex 4\n{properties}element face 2\n"
    head += "property list uchar int vertex_indices\nend_header\n"
    return head + "\n".join([*rows(CORNERS, NORMALS, COLORS), "3 0 1 2", "3 0 2 3"]) + "\n"


def obj() -> str:
    lines = [f"v {row}" for row in rows(CORNERS, COLORS / 255)]
    lines += [f"vn {row}" for row in rows(NORMALS)]
    return "\n".join([*lines, "f 1//1 2//2 3//3", "f 1//1 3//3 4//4"]) + "\n"


@pytest.mark.parametrize(
    ("name", "text", "normals", "colors"),
    [
        ("a.off", off("OFF", COLORS, np.full((4, 1), 255)), False, True),
        ("a.off", off("COFF", COLORS), False, True),
        ("a.off", off("NOFF", NORMALS), True, False),
        ("a.off", off("CNOFF", NORMALS, COLORS / 255), True, True),
        ("a.off", off("STOFF", NORMALS[:, :2]), False, False),
        ("a.off", off("OFF"), False, False),
        ("a.ply", ply(), True, True),
        ("a.obj", obj(), True, True),
    ],
)
def test_meshes_keep_what_their_vertices_have(
    tmp_path: Path, name: str, text: str, normals: bool, colors: bool
) -> None:
    if not name.endswith(".off"):
        pytest.importorskip("trimesh", reason="trimesh (extra mesh) is not installed")
    (tmp_path / name).write_text(text)
    mesh = read_shape(tmp_path / name)
    assert isinstance(mesh, Mesh)
    order = [int(np.abs(CORNERS - vertex).sum(1).argmin()) for vertex in mesh.vertices]
    for found, expected, there in (
        (mesh.normals, NORMALS, normals),
        (mesh.colors, COLORS / 255, colors),
    ):
        assert (found is not None) == there
        if found is not None:
            np.testing.assert_allclose(found, expected[order], atol=3e-3)


def test_a_placed_part_turns_its_normals(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh", reason="trimesh (extra mesh) is not installed")
    part = trimesh.Trimesh(CORNERS, FACES, vertex_normals=NORMALS, process=False)
    turn = np.array([[0, -1, 0, 5], [1, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])
    scene = trimesh.Scene()
    scene.add_geometry(part, transform=turn)
    scene.add_geometry(part)
    (tmp_path / "a.glb").write_bytes(scene.export(file_type="glb", include_normals=True))
    mesh = read_shape(tmp_path / "a.glb")
    assert isinstance(mesh, Mesh)
    assert mesh.normals is not None
    turned = NORMALS @ np.linalg.inv(turn[:3, :3])
    expected = np.concatenate([turned / np.linalg.norm(turned, axis=1, keepdims=True), NORMALS])
    found = cloud_features(PointCloud(mesh.vertices, mesh.normals), ["normals"], "a")
    assert sorted(found.round(5).tolist()) == sorted(expected.round(5).tolist())


def test_shapes_in_python_bring_theirs() -> None:
    data = Data(
        pos=torch.tensor(CORNERS),
        face=torch.tensor(FACES.T),
        normal=torch.tensor(NORMALS),
        color=torch.tensor(COLORS / 255),
    )
    open3d = SimpleNamespace(
        vertices=CORNERS, triangles=FACES, vertex_normals=NORMALS, vertex_colors=COLORS / 255
    )
    for shape in (data, open3d):
        mesh = as_shape(shape)
        assert isinstance(mesh, Mesh)
        assert mesh.normals is not None
        assert mesh.colors is not None
        np.testing.assert_allclose(mesh.normals, NORMALS)
        np.testing.assert_allclose(mesh.colors, COLORS / 255)
    empty = SimpleNamespace(vertices=CORNERS, triangles=FACES, vertex_normals=np.empty((0, 3)))
    assert as_shape(empty).normals is None


def test_points_on_a_mesh_are_between_its_corners() -> None:
    mesh = Mesh(CORNERS, FACES, NORMALS, COLORS / 255)
    face, weights = np.array([0, 1]), np.array([[1.0, 0.0, 0.0], [0.5, 0.0, 0.5]])
    found = mesh_features(mesh, ("colors", "normals"), face, weights, "m")
    between = (COLORS[0] + COLORS[3]) / 510
    half = np.array([0.5, 0, 0.5]) * 2**0.5
    np.testing.assert_allclose(found, [[1, 0, 0, 0, 0, 1], [*between, *half]])
    plain = Mesh(CORNERS, FACES)
    flat = mesh_features(plain, ("normals",), face[:1], weights[:1], "m")
    np.testing.assert_allclose(flat, [[0, 0, 1]])
    with pytest.raises(DataError, match="m: has no colors, which are asked for; beside coord"):
        mesh_features(plain, ("colors",), face, weights, "m")


def test_features_of_clouds_are_checked() -> None:
    cloud = PointCloud(CORNERS, 7.0 * NORMALS, None, np.full((4, 1), 0.5))
    found = cloud_features(cloud, ("intensity", "normals"), "c")
    np.testing.assert_allclose(found, np.hstack([np.full((4, 1), 0.5), NORMALS]))
    assert cloud_features(cloud, (), "c").shape == (4, 0)
    with pytest.raises(DataError, match=r"c: has no colors, .* it has normals and intensity"):
        cloud_features(cloud, ("colors",), "c")
    nowhere = PointCloud(CORNERS, np.where(np.eye(4, 3) > 0, np.nan, NORMALS))
    with pytest.raises(DataError, match="c: 3 of 4 points have no finite normals"):
        cloud_features(nowhere, ("normals",), "c")


def test_names_of_features() -> None:
    assert (
        parse_features("normals, colors")
        == ("normals", "colors")
        == parse_features(["normals", "colors"])
    )
    assert parse_features("") == ()
    assert normals_column(("colors", "normals")) == 3
    assert normals_column(("colors",)) is None
    for text, says in (("curvature", "no feature 'curvature'"), ("colors,colors", "named twice")):
        with pytest.raises(DataError, match=says):
            parse_features(text)


def test_intensity_of_tables_and_scanners(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y,z,intensity\n0,0,0,0\n1,0,0,51\n0,1,0,255\n")
    cloud = read_shape(tmp_path / "a.csv")
    assert isinstance(cloud, PointCloud)
    assert cloud.intensity is not None
    np.testing.assert_allclose(cloud.intensity[:, 0], [0.0, 0.2, 1.0])
    (tmp_path / "a.pts").write_text("2\n0 0 0 -5 255 0 0\n1 0 0 250 0 255 0\n")
    cloud = read_shape(tmp_path / "a.pts")
    assert isinstance(cloud, PointCloud)
    assert cloud.intensity is not None
    np.testing.assert_allclose(cloud.intensity[:, 0], [0.0, 1.0])
