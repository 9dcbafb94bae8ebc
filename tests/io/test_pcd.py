from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from mgic_geo.errors import DataError
from mgic_geo.io import load_clouds_npz, read_pcd

POINTS = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
HEADER = (
    "# .PCD v0.7\nVERSION 0.7\nFIELDS {fields}\nSIZE {size}\nTYPE {type}\nCOUNT {count}\n"
    "WIDTH 40\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 40\nDATA {data}\n"
)
PLAIN = {"fields": "x y z", "size": "4 4 4", "type": "F F F", "count": "1 1 1"}
# z first, as double; padding, colour and a histogram between
MIXED = {"fields": "z _ rgb x h y", "size": "8 1 4 4 4 4", "type": "F U U F F F"}
MIXED["count"] = "1 3 1 1 2 1"
MIXED_TYPE = np.dtype(
    [("z", "<f8"), ("_", "u1", 3), ("rgb", "<u4"), ("x", "<f4"), ("h", "<f4", 2), ("y", "<f4")]
)


def mixed_records() -> np.ndarray:
    records = np.zeros(len(POINTS), MIXED_TYPE)
    for i, axis in enumerate("xyz"):
        records[axis] = POINTS[:, i]
    records["rgb"] = 0xFFFFFF
    return records


def literal_lzf(data: bytes) -> bytes:
    runs = [data[i : i + 32] for i in range(0, len(data), 32)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def compressed(data: bytes, packed: bytes) -> bytes:
    return struct.pack("<II", len(packed), len(data)) + packed


def columns(records: np.ndarray) -> bytes:
    return b"".join(records[name].tobytes() for name in records.dtype.names or ())


CASES = {
    "ascii": (PLAIN, "ascii", "\n".join(" ".join(map(str, row)) for row in POINTS).encode()),
    "ascii mixed": (
        MIXED,
        "ascii",
        "\n".join(f"{z} 0 0 0 7 {x} 1 2 {y}" for x, y, z in POINTS).encode(),
    ),
    "binary": (PLAIN, "binary", POINTS.tobytes()),
    "binary mixed": (MIXED, "binary", mixed_records().tobytes()),
    "compressed": (
        PLAIN,
        "binary_compressed",
        compressed(POINTS.T.tobytes(), literal_lzf(POINTS.T.tobytes())),
    ),
    "compressed mixed": (
        MIXED,
        "binary_compressed",
        compressed(columns(mixed_records()), literal_lzf(columns(mixed_records()))),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_positions_from_every_encoding(tmp_path: Path, case: str) -> None:
    fields, data, body = CASES[case]
    file = tmp_path / "a.pcd"
    file.write_bytes(HEADER.format(**fields, data=data).encode() + body)
    np.testing.assert_allclose(read_pcd(file), POINTS, rtol=1e-6)


def test_repeats_in_compressed_data(tmp_path: Path) -> None:
    # x = 1 for all points: 4 literals, then copies that run into what they write
    one, x = np.float32(1).tobytes(), np.ones(40, np.float32)
    copies = bytes([7 << 5, 140, 3]) + bytes([5 << 5, 3])  # 149 bytes and 7 bytes, 4 back
    yz = POINTS[:, 1:].T.tobytes()
    packed = bytes([3]) + one + copies + literal_lzf(yz)
    file = tmp_path / "a.pcd"
    header = HEADER.format(**PLAIN, data="binary_compressed").encode()
    file.write_bytes(header + compressed(x.tobytes() + yz, packed))
    np.testing.assert_array_equal(read_pcd(file), np.column_stack([x, POINTS[:, 1:]]))


@pytest.mark.parametrize("ascii_", [True, False])
def test_files_of_open3d(tmp_path: Path, ascii_: bool) -> None:
    open3d = pytest.importorskip("open3d", reason="Open3D (extra mesh) is not installed")
    points = np.round(POINTS.astype(np.float64), 1).repeat(20, axis=0)  # worth compressing
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    file = str(tmp_path / "a.pcd")
    open3d.io.write_point_cloud(file, cloud, write_ascii=ascii_, compressed=not ascii_)
    np.testing.assert_allclose(read_pcd(file), points, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "data", "body", "says"),
    [
        (PLAIN, "binary", POINTS.tobytes()[:-1], "truncated"),
        (PLAIN, "ascii", b"1 2 3\n", "truncated"),
        (PLAIN, "ascii", b"1 2 c\n" * 40, "could not convert"),
        (PLAIN, "binary_compressed", b"\x00", "not a readable PCD file"),
        (PLAIN, "binary_compressed", compressed(bytes(480), b"\x20\xff"), "damaged"),
        (PLAIN, "zipped", b"", "zipped"),
        ({**PLAIN, "fields": "x y i"}, "binary", POINTS.tobytes(), "no field 'z'"),
        ({**PLAIN, "size": "4 4"}, "binary", POINTS.tobytes(), "different lengths"),
        ({**PLAIN, "size": "3 3 3"}, "binary", POINTS.tobytes(), "not a readable PCD file"),
        (PLAIN, "binary", (POINTS * [1, np.nan, 1]).astype("<f4").tobytes(), "40 of 40 points"),
        (PLAIN, "binary", np.ones_like(POINTS).tobytes(), "all 40 points are the same"),
    ],
)
def test_bad_files_are_named(
    tmp_path: Path, fields: dict[str, str], data: str, body: bytes, says: str
) -> None:
    file = tmp_path / "bad.pcd"
    file.write_bytes(HEADER.format(**fields, data=data).encode() + body)
    with pytest.raises(DataError, match=says) as error:
        read_pcd(file)
    assert str(error.value).startswith(f"{file}: ")


def test_real_clouds_equal_the_data_set(shared_data: Path) -> None:
    clouds = load_clouds_npz(shared_data / "modelnet10_train.npz")
    index = {name: i for i, name in enumerate(clouds.name)}
    files = sorted((shared_data / "modelnet10_pcd").rglob("*.pcd"))
    assert len(files) == 20
    for file in files:
        np.testing.assert_array_equal(read_pcd(file), clouds.points[index[file.stem]])
