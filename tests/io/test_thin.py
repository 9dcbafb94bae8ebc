from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mgic_geo.errors import DataError
from mgic_geo.io import PointCloud, read_shape, thin

COUNT, MOST = 5000, 200


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of five thousand points count as large, and are read in pieces of a thousand bytes."""
    for name, value in (("MANY", 2000), ("_LARGE", 1 << 10), ("_PIECE", 300), ("_BLOCK", 999)):
        monkeypatch.setattr(thin, name, value)


@pytest.fixture
def points() -> NDArray[np.float64]:
    """The number of the point, and two functions of it."""
    x = np.arange(COUNT, dtype=np.float64)
    return np.stack([x, 2 * x, x % 7], axis=1)


def write(path: Path, points: NDArray[np.float64]) -> Path:
    kind = path.suffix
    single, text = points.astype("<f4"), "\n".join("{:g} {:g} {:g}".format(*p) for p in points)
    size = len(points)
    pcd = f"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH {size}\nHEIGHT 1\nPOINTS {size}\n"
    ply = "".join(f"property float {axis}\n" for axis in "xyz")
    head = f"ply\nformat {{}} 1.0\nelement vertex {size}\n{ply}end_header\n"
    name = path.name
    content = {
        "a.xyz": text.encode(),
        "named.csv": b"x,y,z\n" + text.replace(" ", ",").encode(),
        "counted.pts": f"{size}\n{text}\n".encode(),
        "a.pcd": pcd.encode() + b"DATA binary\n" + single.tobytes(),
        "text.pcd": pcd.encode() + b"DATA ascii\n" + text.encode(),
        "a.ply": head.format("binary_little_endian").encode() + single.tobytes(),
        "text.ply": head.format("ascii").encode() + text.encode(),
        "big.ply": head.format("binary_big_endian").encode() + single.astype(">f4").tobytes(),
    }
    if kind == ".npy":
        np.save(path, single)
    elif kind == ".gz":
        path.write_bytes(gzip.compress(content["a.ply"]))
    elif kind == ".las":
        laspy = pytest.importorskip("laspy", reason="LAS needs the extra mesh")
        cloud = laspy.create(point_format=0, file_version="1.2")
        cloud.x, cloud.y, cloud.z = points.T
        cloud.write(str(path))
    else:
        path.write_bytes(content[name])
    return path


NAMES = ["a.npy", "a.xyz", "named.csv", "counted.pts", "a.pcd", "text.pcd", "a.las"]
PLYS = ["a.ply", "text.ply", "big.ply", "a.ply.gz"]


@pytest.mark.parametrize("name", [*NAMES, *PLYS])
def test_a_part_of_the_points_is_read_all_over_the_file(
    tmp_path: Path, points: NDArray[np.float64], name: str
) -> None:
    if name in PLYS:
        pytest.importorskip("trimesh", reason="PLY needs the extra mesh")
    path = write(tmp_path / name, points)
    found = read_shape(path, most=MOST)
    assert isinstance(found, PointCloud)
    assert len(found) == MOST
    number = found.points[:, 0].round().astype(int)
    assert found.points == pytest.approx(points[number], abs=0.01)
    assert (np.diff(number) > 0).all()  # each once, in their order
    parts = np.histogram(number, bins=5, range=(0, COUNT))[0]
    assert (parts > 20).all()
    again = read_shape(path, most=MOST)
    assert isinstance(again, PointCloud)
    assert (again.points == found.points).all()
    whole = read_shape(path)
    assert isinstance(whole, PointCloud)
    assert len(whole) == COUNT


def test_small_files_and_meshes_are_read_whole(
    tmp_path: Path, points: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.npy", points[:1500])
    assert len(read_shape(path, most=MOST)) == 1500  # type: ignore[arg-type]
    mesh = tmp_path / "mesh.ply"
    rows = "\n".join("{:g} {:g} {:g}".format(*p) for p in points)
    element = "property float x\nproperty float y\nproperty float z\nelement face 1\n"
    mesh.write_text(
        f"ply\nformat ascii 1.0\nelement vertex {COUNT}\n{element}"
        f"property list uchar int vertex_indices\nend_header\n{rows}\n3 0 1 9\n"
    )
    assert thin.thin_file(mesh, ".ply", MOST) is None


@pytest.mark.parametrize("name", ["a.npy", "a.pcd", "text.pcd"])
def test_truncated_files_are_said_to_be(
    tmp_path: Path, points: NDArray[np.float64], name: str
) -> None:
    path = write(tmp_path / name, points)
    path.write_bytes(path.read_bytes()[: -(path.stat().st_size // 4)])
    with pytest.raises(DataError, match=rf"{name}: .*truncated: 5000 points are announced"):
        read_shape(path, most=MOST)


def test_points_in_memory_are_thinned_too(points: NDArray[np.float64]) -> None:
    from mgic_geo.io import as_shape, shape

    assert shape.MANY > COUNT
    assert len(as_shape(points, most=MOST)) == COUNT  # type: ignore[arg-type]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A file of 60 MB, and room for 40."""
    path = tmp_path / "large.npy"
    mapped = np.lib.format.open_memmap(path, "w+", np.float32, (5_000_000, 3))
    mapped[::1000] = np.arange(15_000).reshape(5000, 3)
    mapped.flush()
    code = (
        "import resource, sys; from pathlib import Path; from mgic_geo.io.thin import thin_file\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "part = thin_file(Path(sys.argv[1]), '.npy', 1 << 17)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(len(part), after - before)"
    )
    run = [sys.executable, "-c", code, str(path)]
    size, grown = map(int, subprocess.check_output(run, text=True).split())
    assert size == pytest.approx(12 << 17, rel=0.01)
    unit = 1024 if sys.platform != "darwin" else 1
    assert grown * unit < 40e6
