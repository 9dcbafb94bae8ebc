from __future__ import annotations

import gzip
import io
import os
import random
import struct
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.errors import DataError
from mgic_geo.io import SHAPE_SUFFIXES, Mesh, read_shape, write_off

POINTS = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
NUMBERS = (b"-1", b"0", b"99999999999", b"1e400", b"nan", b"inf", b"2147483648", b"x", b"")
WORDS = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0x10000)
PCD = (
    "VERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\n"
    "WIDTH 48\nHEIGHT 1\nPOINTS 48\nDATA "
)


def _rows(separator: str = " ") -> bytes:
    return "\n".join(separator.join(map(str, row)) for row in POINTS).encode()


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


def _records() -> np.ndarray:
    records = np.zeros(48, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
    for i, axis in enumerate("xyz"):
        records[axis] = POINTS[:, i]
    return records


def _plain(folder: Path) -> dict[str, list[bytes]]:
    write_off(folder / "a.off", furniture_mesh("chair", seed=1))
    records = _records()
    columns = b"".join(records[name].tobytes() for name in records.dtype.names or ())
    runs = [columns[i : i + 32] for i in range(0, len(columns), 32)]
    packed = b"".join(bytes([len(run) - 1]) + run for run in runs)
    compressed = struct.pack("<II", len(packed), len(columns)) + packed
    text = [_rows(), b"x,y,z,nx\n" + _rows(","), b"48\n" + _rows(" ")]
    return {
        ".off": [(folder / "a.off").read_bytes()],
        ".npy": [_saved(lambda f: np.save(f, POINTS)), _saved(lambda f: np.save(f, records))],
        ".npz": [
            _saved(lambda f: np.savez(f, points=POINTS)),
            _saved(lambda f: np.savez_compressed(f, points=POINTS, normals=POINTS)),
        ],
        ".pcd": [
            f"{PCD}ascii\n".encode() + b"\n".join(line + b" 0" for line in _rows().splitlines()),
            f"{PCD}binary\n".encode() + records.tobytes(),
            f"{PCD}binary_compressed\n".encode() + compressed,
        ],
        ".xyz": text,
        ".txt": text,
        ".csv": text,
        ".pts": text,
    }


def _with_extras() -> dict[str, list[bytes]]:
    trimesh = pytest.importorskip("trimesh", reason="trimesh (extra mesh) is not installed")
    laspy = pytest.importorskip("laspy", reason="laspy (extra mesh) is not installed")
    h5py = pytest.importorskip("h5py", reason="h5py (extra mesh) is not installed")
    mesh = furniture_mesh("chair", seed=1)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    cloud = trimesh.PointCloud(POINTS)
    found = {f".{kind}": [_bytes(solid.export(file_type=kind))] for kind in ("obj", "stl", "glb")}
    found[".stl"].append(_bytes(solid.export(file_type="stl_ascii")))
    found[".ply"] = [
        _bytes(part.export(file_type="ply", encoding=encoding))
        for part in (solid, cloud)
        for encoding in ("ascii", "binary")
    ]
    found[".gltf"] = [
        trimesh.exchange.gltf.export_gltf(solid.scene(), embed_buffers=True)["model.gltf"]
    ]

    def scan(version: str, kind: int, compressed: bool) -> bytes:
        header = laspy.LasHeader(version=version, point_format=kind)
        header.scales, header.offsets = [1e-4] * 3, [0.0] * 3
        las = laspy.LasData(header)
        las.x, las.y, las.z = POINTS.T.astype(np.float64)
        return _saved(
            lambda f: las.write(f, do_compress=compressed, laz_backend=laspy.LazBackend.Lazrs)
        )

    def archive(**options: object) -> bytes:
        file = io.BytesIO()
        with h5py.File(file, "w") as opened:
            opened.create_dataset("data", data=POINTS, **options)
        return file.getvalue()

    found[".las"] = [scan("1.2", 3, False), scan("1.4", 7, False)]
    found[".laz"] = [scan("1.2", 3, True), scan("1.4", 7, True)]
    found[".h5"] = [archive(), archive(chunks=(16, 3), compression="gzip")]
    found[".hdf5"] = found[".h5"]
    return found


def _bytes(exported: bytes | str) -> bytes:
    return exported.encode() if isinstance(exported, str) else exported


@cache
def _seeds(folder: Path) -> dict[str, list[bytes]]:
    return {**_plain(folder), **_with_extras()}


def _mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of the kinds that damage and carelessness make."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        # headers are where a reader decides how much to believe
        top = rng.choice((64, 512, len(out))) or 1
        at = rng.randrange(max(min(top, len(out)), 1))
        kind = rng.randrange(9)
        if kind == 0:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del out[at:]
        elif kind == 2:
            del out[at : at + rng.randrange(1, 64)]
        elif kind == 3:
            out[at:at] = rng.randbytes(rng.randrange(1, 16))
        elif kind == 4:
            out[at : at + 4] = struct.pack("<I", rng.choice(WORDS))
        elif kind == 5:  # another number
            start = next((i for i in range(at, len(out)) if 48 <= out[i] < 58), None)
            if start is not None:
                end = start
                while end < len(out) and (48 <= out[end] < 58 or out[end] in b".-e"):
                    end += 1
                out[start:end] = rng.choice(NUMBERS)
        elif kind == 6:
            out[at:at] = out[at : at + rng.randrange(1, 200)]
        elif kind == 7:  # a word goes
            end = at + 1
            while end < len(out) and out[end] not in b" \n\t,":
                end += 1
            del out[at:end]
        else:
            out[at : at + 1] = bytes([out[at] ^ 1 << rng.randrange(8)]) if at < len(out) else b""
    return bytes(out)


def _run(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Reads mutated files; how many of each format were read all the same."""
    rng, seeds = random.Random(seed), _seeds(folder)
    assert set(seeds) == set(SHAPE_SUFFIXES)
    suffixes, read = sorted(seeds), dict.fromkeys(seeds, 0)
    for i in range(count):
        suffix = suffixes[i % len(suffixes)]
        data = _mutate(rng.choice(seeds[suffix]), rng)
        name = f"mutated{suffix}"
        if rng.random() < 0.1:
            name, data = f"{name}.gz", gzip.compress(data, 1)
            data = _mutate(data, rng) if rng.random() < 0.5 else data
        path = folder / name
        path.write_bytes(data)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*are left out", UserWarning)
                shape = read_shape(path)
        except DataError as error:
            message = str(error)
            assert message.startswith(f"{path}: "), (seed, i, message)
            assert len(message.splitlines()) == 1, (seed, i, message)
        except BaseException as error:
            keep = os.environ.get("MGIC_GEO_KEEP_MUTATED")
            if keep:
                Path(keep, f"{seed}_{i}_{name}").write_bytes(data)
            raise AssertionError(f"seed {seed}, file {i} ({name}): {error!r}") from error
        else:
            points = shape.vertices if isinstance(shape, Mesh) else shape.points
            assert np.isfinite(points).all()
            read[suffix] += 1
    return read


def test_mutated_files_raise_errors_of_ours_and_print_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    read = _run(tmp_path, 2000, seed=1)
    assert capfd.readouterr() == ("", "")
    assert min(read.values()) > 0  # mutations so rough that nothing is read would test little


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_mutated_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("MGIC_GEO_FUZZ_SEED", "2"))
    _run(tmp_path, int(os.environ.get("MGIC_GEO_FUZZ_COUNT", "20000")), seed)
    assert capfd.readouterr() == ("", "")
