from __future__ import annotations

import gzip
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import mgic_geo
from mgic_geo.datasets import PointClouds
from mgic_geo.errors import DataError
from mgic_geo.io import (
    Mesh,
    PointCloud,
    as_shape,
    load_clouds_h5,
    read_cloud_or_mesh,
    read_pcd,
    read_shape,
)

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(20, 3)).round(5)
UNIT = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
HOLES = POINTS.copy()
HOLES[::4, 1] = np.nan
LEFT = "5 of 20 points have NaN or infinite coordinates and are left out"
PLY = """ply
format ascii 1.0
{comment}element vertex 4
property float x
property float y
property float z
{extra}element face 2
property list uchar int vertex_indices
end_header
{rows}3 0 1 2
3 0 2 3
"""
CORNERS = ("0 0 0", "1 0 0", "1 1 0", "0 1 0.5")


def lines(columns: np.ndarray, separator: str) -> str:
    return "\n".join(separator.join(f"{value:.5f}" for value in row) for row in columns)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", lines(np.hstack([POINTS, UNIT]), ",")),
        ("a.csv", "x,y,z\n" + lines(POINTS, ",")),
        ("a.csv", "id;z;y;x\n" + lines(np.column_stack([UNIT[:, 0], POINTS[:, ::-1]]), ";")),
        ("a.csv", lines(POINTS, ";").replace(".", ",")),  # as a German spreadsheet writes it
        ("a.csv", "\ufeffX,Y,Z,label\n" + lines(POINTS, ",").replace("\n", ",tree\n") + ",tree"),
        ("a.pts", "20\n" + lines(np.hstack([POINTS, 0 * POINTS, POINTS[:, :1]]), " ")),
        ("a.xyz", "//X Y Z Nx Ny Nz\n" + lines(np.hstack([POINTS, UNIT]), "\t")),
        ("a.txt", "# by hand\r\n" + lines(POINTS, "  ").replace("\n", " # end\r\n")),
    ],
)
def test_text_in_its_usual_forms(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, "utf-8", newline="")
    np.testing.assert_allclose(read_cloud_or_mesh(tmp_path / name), POINTS, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("30\n" + lines(POINTS, " "), "30 points are announced, 20 follow"),
        ("1 2 3\n4 5\n", "line 2 is not 'x y z' but '4 5'"),
        ("x,y,z\n1,2,3\n1,two,3\n", "line 3 is not 'x y z' but '1 two 3'"),
        ("x y z\n", "an empty cloud"),
    ],
)
def test_bad_text_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DataError, match=says):
        read_shape(tmp_path / "a.txt")


def test_an_empty_cell_is_a_point_that_is_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2,3\n4,,6\n,8,9\n7,8,1\n")
    with pytest.warns(UserWarning, match=r"a\.csv: 2 of 4 points"):
        assert read_cloud_or_mesh(tmp_path / "a.csv").tolist() == [[1, 2, 3], [7, 8, 1]]


def test_normals_and_colours_are_kept(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh", reason="trimesh (extra mesh) is not installed")
    colors = RNG.integers(0, 256, (20, 3))
    fields = [*(POINTS.T), *(UNIT.T), *(colors.T)]
    names = ["x", "y", "z", "nx", "ny", "nz", "red", "green", "blue"]
    table = np.zeros(20, [(n, "<f4" if i < 6 else "u1") for i, n in enumerate(names)])
    for name, column in zip(names, fields):
        table[name] = column
    np.save(tmp_path / "a.npy", table)
    rows = ",".join(names) + "\n" + lines(np.column_stack(fields), ",")
    (tmp_path / "a.csv").write_text(rows)
    head = "\n".join(f"property {'float' if i < 6 else 'uchar'} {n}" for i, n in enumerate(names))
    (tmp_path / "a.ply").write_bytes(
        f"ply\nformat binary_little_endian 1.0\nelement vertex 20\n{head}\nend_header\n".encode()
        + table.tobytes()
    )
    packed = (colors[:, 0] << 16 | colors[:, 1] << 8 | colors[:, 2]).astype("<u4")
    (tmp_path / "a.pcd").write_bytes(
        b"FIELDS x y z normal_x normal_y normal_z rgb\nSIZE 4 4 4 4 4 4 4\nTYPE F F F F F F F\n"
        b"WIDTH 20\nHEIGHT 1\nDATA binary\n"
        + b"".join(
            np.hstack([p, n]).astype("<f4").tobytes() + c.tobytes()
            for p, n, c in zip(POINTS, UNIT, packed)
        )
    )
    for name in ("a.npy", "a.csv", "a.ply", "a.pcd"):
        cloud = read_shape(tmp_path / name)
        assert isinstance(cloud, PointCloud)
        assert cloud.normals is not None
        assert cloud.colors is not None
        np.testing.assert_allclose(cloud.points, POINTS, atol=1e-5)
        np.testing.assert_allclose(cloud.normals, UNIT, atol=1e-5)
        np.testing.assert_allclose(cloud.colors, colors / 255.0, atol=1e-6)
    assert trimesh is not None


def save_pcd(path: Path, points: np.ndarray) -> None:
    head = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 20\nHEIGHT 1\nDATA binary\n"
    path.write_bytes(head.encode() + points.astype("<f4").tobytes())


def test_points_that_a_camera_did_not_see_are_left_out(tmp_path: Path) -> None:
    save_pcd(tmp_path / "a.pcd", HOLES)
    np.save(tmp_path / "a.npy", HOLES)
    (tmp_path / "a.xyz").write_text(lines(HOLES, " "))
    for name in ("a.pcd", "a.npy", "a.xyz"):
        with pytest.warns(UserWarning, match=f"{name}: {LEFT}") as caught:
            points = read_cloud_or_mesh(tmp_path / name)
        assert len(caught) == 1
        np.testing.assert_allclose(points, HOLES[np.isfinite(HOLES[:, 1])], atol=1e-5)
        with pytest.raises(DataError, match="5 of 20 points have NaN"):
            read_cloud_or_mesh(tmp_path / name, on_nan="raise")
    with pytest.raises(DataError, match="5 of 20 points have NaN"):
        read_pcd(tmp_path / "a.pcd", on_nan="raise")
    np.save(tmp_path / "a.npy", HOLES * np.nan)
    with pytest.raises(DataError, match="20 of 20 points have NaN"):
        read_cloud_or_mesh(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="on_nan = 'keep'"):
        read_cloud_or_mesh(tmp_path / "a.pcd", on_nan="keep")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(3, 2000), (6, 2000), (3, 4)])
def test_channels_first_is_no_cloud_of_three_points(tmp_path: Path, shape: tuple[int, int]) -> None:
    np.save(tmp_path / "a.npy", RNG.normal(size=shape))
    with pytest.raises(DataError, match=rf"its shape is \[{shape[0]}, .*channels first; transpose"):
        read_shape(tmp_path / "a.npy")


def test_structured_arrays(tmp_path: Path) -> None:
    array = np.zeros((4, 5), [("i", "u1"), ("Z", "f8"), ("Y", "f4"), ("X", "f2")])  # organised
    for i, axis in enumerate("XYZ"):
        array[axis] = POINTS[:, i].reshape(4, 5)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_allclose(read_cloud_or_mesh(tmp_path / "a.npy"), POINTS, atol=1e-2)
    np.save(tmp_path / "a.npy", np.zeros(5, [("X", "f4"), ("Y", "f4")]))
    with pytest.raises(DataError, match="no fields x, y and z; it has X, Y"):
        read_shape(tmp_path / "a.npy")


@pytest.mark.parametrize("kind", ["glb", "gltf", "ply", "off", "npy", "csv"])
def test_gzip_of_any(tmp_path: Path, kind: str) -> None:
    trimesh = pytest.importorskip("trimesh", reason="trimesh (extra mesh) is not installed")
    box = trimesh.creation.box((1, 2, 3))
    if kind == "npy":
        file = io.BytesIO()
        np.save(file, POINTS)
        data: Any = file.getvalue()
    elif kind == "csv":
        data = lines(POINTS, ",")
    elif kind == "gltf":
        data = trimesh.exchange.gltf.export_gltf(box.scene(), embed_buffers=True)["model.gltf"]
    else:
        data = box.export(file_type=kind)
    data = data.encode() if isinstance(data, str) else data
    (tmp_path / f"a.{kind}").write_bytes(data)
    (tmp_path / f"a.{kind}.GZ").write_bytes(gzip.compress(data))
    plain, packed = (read_shape(tmp_path / f"a.{kind}{end}") for end in ("", ".GZ"))
    assert type(plain) is type(packed)
    if isinstance(plain, Mesh) and isinstance(packed, Mesh):
        assert plain.area == packed.area == pytest.approx(22.0)
    else:
        assert len(packed) == 20
    (tmp_path / f"a.{kind}.gz").write_bytes(gzip.compress(data)[:-9])
    with pytest.raises(DataError, match="not a readable gzip file"):
        read_shape(tmp_path / f"a.{kind}.gz")


def test_what_one_reader_does_not_know(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("trimesh", reason="trimesh (extra mesh) is not installed")
    path = tmp_path / "a.ply"
    for kind in ("bool", "uchar"):
        rows = "".join(f"{row} 1\n" for row in CORNERS)
        extra = f"property {kind} valid\n"
        path.write_text(PLY.format(comment="", extra=extra, rows=rows))
        assert len(read_shape(path).vertices) == 4
    path.write_text(path.read_text().replace("uchar valid", "quad valid"))
    with pytest.raises(DataError, match="its property 'valid' has the type 'quad'"):
        read_shape(path)
    texture = {"comment": "comment TextureFile skin.png\n", "extra": ""}
    path.write_text(PLY.format(**texture, rows="".join(f"{row}\n" for row in CORNERS)))
    read_shape(path)
    (tmp_path / "a.stl").write_bytes(bytes(80) + (10**6).to_bytes(4, "little") + bytes(100))
    with pytest.raises(DataError, match=r"a\.stl: "):
        read_shape(tmp_path / "a.stl")
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\n")
    with pytest.raises(DataError, match=r"line 2 is not a vertex 'v x y z' but 'v 1 0'"):
        read_shape(tmp_path / "a.obj")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert logging.getLogger("trimesh").propagate


@pytest.mark.parametrize("suffix", ["las", "laz"])
def test_laser_scans(tmp_path: Path, suffix: str) -> None:
    laspy = pytest.importorskip("laspy", reason="laspy (extra mesh) is not installed")
    header = laspy.LasHeader(version="1.2", point_format=3)
    header.scales, header.offsets = [1e-4] * 3, [500_000.0, 4_000_000.0, 0.0]
    scan = laspy.LasData(header)
    scan.x, scan.y, scan.z = (POINTS + header.offsets).T
    scan.red = scan.green = scan.blue = np.linspace(0, 65535, 20).astype(np.uint16)
    scan.write(str(tmp_path / f"a.{suffix}"))
    cloud = read_shape(tmp_path / f"a.{suffix}")
    assert isinstance(cloud, PointCloud)
    assert cloud.colors is not None
    np.testing.assert_allclose(cloud.points, POINTS + header.offsets, atol=1e-4)
    np.testing.assert_allclose(cloud.colors[:, 1], np.linspace(0, 1, 20), atol=1e-4)


def test_a_reader_that_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("h5py", reason="h5py (extra mesh) is not installed")
    from mgic_geo.io import apart

    (tmp_path / "a.h5").write_bytes(b"")
    monkeypatch.setattr(apart, "send", lambda stream, *rest: apart._helper[1].kill())  # type: ignore[index]
    with pytest.raises(DataError, match=r"a\.h5: .*its reader breaks down on it"):
        read_shape(tmp_path / "a.h5")


def archive(path: Path, count: int, labels: list[int], columns: int = 3) -> np.ndarray:
    h5py = pytest.importorskip("h5py", reason="h5py (extra mesh) is not installed")
    clouds = RNG.normal(size=(count, 16, columns)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["data"] = clouds
        file["label"] = np.array(labels, np.uint8)[:, None]
        file["faceId"] = np.zeros((count, 16), np.int32)
    return clouds[:, :, :3]


def test_archives_as_modelnet40_has_them(tmp_path: Path) -> None:
    first = archive(tmp_path / "ply_data_train0.h5", 3, [2, 0, 1])
    second = archive(tmp_path / "ply_data_train1.h5", 2, [1, 1], columns=6)
    archive(tmp_path / "ply_data_test0.h5", 1, [2])
    (tmp_path / "shape_names.txt").write_text("airplane\nbathtub\nbed\n")
    data = PointClouds(tmp_path, split="train", num_points=16)
    assert data.classes == ("airplane", "bathtub", "bed")
    assert data.labels.tolist() == [2, 0, 1, 1, 1]
    np.testing.assert_array_equal(data.points.numpy(), np.concatenate([first, second]))
    assert len(PointClouds(tmp_path, split="test", num_points=16)) == 1
    assert len(PointClouds(tmp_path, num_points=8)) == 6
    one = load_clouds_h5(tmp_path / "ply_data_train0.h5")
    assert (len(one), one.split) == (3, ("train",) * 3)
    with pytest.raises(DataError, match="holds 3 clouds; take one out"):
        read_shape(tmp_path / "ply_data_train0.h5")
    np.testing.assert_array_equal(read_cloud_or_mesh(tmp_path / "ply_data_test0.h5").shape, (16, 3))


def test_archives_as_scanobjectnn_has_them(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py (extra mesh) is not installed")
    for part, count in (("training", 4), ("test", 2)):
        with h5py.File(tmp_path / f"{part}_objectdataset.h5", "w") as file:
            file["data"] = RNG.normal(size=(count, 16, 3)).astype(np.float32)
            file["label"] = (np.arange(count) % 3).astype(np.int32)
            file["mask"] = np.ones((count, 16), np.int32)
    data = PointClouds(tmp_path, split="train", num_points=16)
    assert (len(data), data.classes) == (4, ("0", "1", "2"))
    (tmp_path / "shape_names.txt").write_text("bag\n")
    with pytest.raises(DataError, match="names 1 classes, but there is a label 2"):
        PointClouds(tmp_path, num_points=16)


def test_every_format_is_found_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "scans" / "tree"
    folder.mkdir(parents=True)
    (folder / "one.txt").write_text(lines(POINTS, " "))
    (folder / "two.csv.gz").write_bytes(gzip.compress(lines(POINTS, ",").encode()))
    save_pcd(folder / "three.v2.pcd", HOLES)
    with pytest.warns(UserWarning, match="scans: 5 points of 1 of its 3 shapes have NaN"):
        data = PointClouds(tmp_path / "scans", num_points=15)
    assert data.names == ("one", "three.v2", "two")
    assert data.points.isfinite().all()


class Open3DCloud:
    """What an ``open3d.geometry.PointCloud`` without normals looks like."""

    points, normals, colors = POINTS, np.empty((0, 3)), UNIT**2


def test_what_other_libraries_hold() -> None:
    vertices, faces = np.eye(3), np.array([[0, 1, 2]])
    pos = torch.from_numpy(POINTS)
    for shape in (POINTS, pos, PointCloud(POINTS), Data(pos=pos), Open3DCloud()):
        cloud = as_shape(shape)
        assert isinstance(cloud, PointCloud)
        np.testing.assert_array_equal(cloud.points, POINTS)
    normals = as_shape(Data(pos=pos, normal=torch.from_numpy(UNIT))).normals  # type: ignore[union-attr]
    np.testing.assert_array_equal(normals, UNIT)
    np.testing.assert_array_equal(as_shape(Open3DCloud()).colors, UNIT**2)  # type: ignore[union-attr]
    mesh = Data(pos=torch.from_numpy(vertices), face=torch.from_numpy(faces).t())
    found = as_shape(mesh)
    assert isinstance(found, Mesh)
    assert found.faces.tolist() == faces.tolist()
    with pytest.raises(DataError, match="cloud: 5 of 20 points"):
        as_shape(HOLES, "raise", "cloud")
    with pytest.raises(DataError, match="a cloud is an array"):
        as_shape(object())


def test_open3d_and_trimesh_go_into_predict() -> None:
    trimesh = pytest.importorskip("trimesh", reason="trimesh (extra mesh) is not installed")
    open3d = pytest.importorskip("open3d", reason="Open3D (extra mesh) is not installed")
    points = np.random.default_rng(1).normal(size=(300, 3))
    vector = open3d.utility.Vector3dVector(points)
    cloud = open3d.geometry.PointCloud(vector)
    expected = mgic_geo.predict(points)
    assert expected.num_points == 300
    assert torch.equal(mgic_geo.predict(cloud).logits, expected.logits)
    assert torch.equal(mgic_geo.predict(Data(pos=torch.from_numpy(points))).logits, expected.logits)
    box = trimesh.creation.box()
    solid = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(box.vertices), open3d.utility.Vector3iVector(box.faces)
    )
    assert torch.equal(mgic_geo.predict(solid).logits, mgic_geo.predict(box).logits)
    with pytest.raises(DataError, match="up = 'w'"):
        mgic_geo.predict(points, up="w")
