from __future__ import annotations

import errno
import hashlib
import io
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgic_geo.datasets import ModelNet10
from mgic_geo.datasets._download import download
from mgic_geo.datasets._unzip import unpack_zip
from mgic_geo.errors import DataError
from mgic_geo.io import Mesh, write_off

DATA = np.random.default_rng(0).bytes(600_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


class Mirror:
    """A server whose behaviour follows from the first part of the path, with its requests."""

    def __init__(self) -> None:
        self.data = DATA
        self.ranges: list[str | None] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None: ...

            def do_GET(self) -> None:
                kind = self.path.split("/")[1]
                asked = self.headers.get("Range")
                mirror.ranges.append(asked)
                if kind == "missing":
                    return self.send_error(404)
                data = mirror.data if kind != "wrong" else mirror.data[:-1] + b"?"
                start = 0
                if asked and kind != "norange":
                    start = int(re.findall(r"\d+", asked)[0])
                    if start >= len(data):
                        return self.send_error(416)
                self.send_response(206 if start else 200)
                if start:
                    span = f"bytes {start}-{len(data) - 1}/{len(data)}"
                    self.send_header("Content-Range", span)
                self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                end = len(data)
                if kind == "breaks":  # 200,000 bytes a connection
                    end = start + 200_000
                elif kind == "dies":
                    end = 100_000
                self.wfile.write(data[start:end])

        return Handler


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    mirror = Mirror()
    thread = threading.Thread(target=mirror.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield mirror
    mirror.server.shutdown()
    thread.join()
    mirror.server.server_close()


@pytest.mark.parametrize("kinds", [["good"], ["norange"], ["breaks"], ["missing", "wrong", "good"]])
def test_the_file_arrives_from_what_there_is(
    tmp_path: Path, mirror: Mirror, kinds: list[str]
) -> None:
    target = tmp_path / "raw" / "a.zip"
    download([f"{mirror.url}/{kind}/a.zip" for kind in kinds], target, SHA256)
    assert target.read_bytes() == DATA
    assert list(target.parent.iterdir()) == [target]


def test_an_interrupted_download_goes_on(tmp_path: Path, mirror: Mirror) -> None:
    target = tmp_path / "a.zip"
    with pytest.raises(DataError, match="broke off after 100000 of 600000 bytes"):
        download([f"{mirror.url}/dies/a.zip"], target, SHA256)
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip.part"]
    mirror.ranges.clear()
    download([f"{mirror.url}/good/a.zip"], target, SHA256)
    assert mirror.ranges == ["bytes=100000-"]
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("stale", [b"something else", DATA + b"and more"])
@pytest.mark.parametrize("kind", ["good", "norange"])
def test_a_stale_part_is_thrown_away(
    tmp_path: Path, mirror: Mirror, stale: bytes, kind: str
) -> None:
    (tmp_path / "a.zip.part").write_bytes(stale)
    download([f"{mirror.url}/{kind}/a.zip"], tmp_path / "a.zip", SHA256)
    assert (tmp_path / "a.zip").read_bytes() == DATA


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path, mirror: Mirror) -> None:
    with pytest.raises(DataError, match="another checksum"):
        download([f"{mirror.url}/wrong/a.zip"], tmp_path / "a.zip", SHA256)
    assert not list(tmp_path.iterdir())


def test_every_mirror_gets_its_reason(tmp_path: Path, mirror: Mirror) -> None:
    mirrors = [f"{mirror.url}/missing/a", "http://127.0.0.1:1/a", "ftp://host/a"]
    with pytest.raises(DataError, match=r"Not Found; .*refused.*; host: .* no http"):
        download(mirrors, tmp_path / "a.zip", timeout=5)


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda self, mode: Full(self, mode))
    with pytest.raises(DataError, match="the disk is full"):
        download([f"{mirror.url}/good/a.zip"], tmp_path / "a.zip", SHA256)
    assert not list(tmp_path.iterdir())


def archive(folder: Path, inner: str = "ModelNet10", **extra: str) -> Path:
    """A zip like the official one, with one bed and one chair of each split."""
    tree = folder / "tree"
    for name, split in (("bed", "train"), ("bed", "test"), ("chair", "train"), ("chair", "test")):
        vertices = np.eye(3) + len(name)
        write_off(tree / name / split / f"{name}_0001.off", Mesh(vertices, [[0, 1, 2]]))
    file = folder / "ModelNet10.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(tree.rglob("*.off")):
            packed.write(path, f"{inner}/{path.relative_to(tree)}")
        packed.writestr("README.txt", "hello")
        packed.writestr(f"__MACOSX/{inner}/bed/._bed_0001.off", "junk")
        for name, text in extra.items():
            packed.writestr(name, text)
    return file


def test_modelnet10_downloads_unpacks_and_keeps(tmp_path: Path, mirror: Mirror) -> None:
    mirror.data = archive(tmp_path).read_bytes()
    arguments: dict[str, Any] = {
        "mirrors": [f"{mirror.url}/breaks/ModelNet10.zip"],
        "sha256": hashlib.sha256(mirror.data).hexdigest(),
        "num_points": 8,
    }
    train = ModelNet10(tmp_path / "root", **arguments)
    assert train.names == ("bed_0001", "chair_0001")
    mirror.ranges.clear()
    assert len(ModelNet10(tmp_path / "root", split="test", **arguments)) == 2
    assert not mirror.ranges
    folders = [path.name for path in (tmp_path / "root" / "raw").iterdir() if path.is_dir()]
    assert folders == ["ModelNet10"]


def test_offline_says_what_to_put_where(tmp_path: Path, mirror: Mirror) -> None:
    for arguments in ({"download": False}, {"mirrors": [f"{mirror.url}/missing/ModelNet10.zip"]}):
        with pytest.raises(DataError) as error:
            ModelNet10(tmp_path, **arguments)
        first, second = str(error.value).splitlines()
        assert first.startswith(f"{tmp_path / 'raw'}: ModelNet-10 is not here")
        assert "Put ModelNet10.zip (http" in second


@pytest.mark.parametrize("inner", ["ModelNet10", "."])
def test_a_zip_as_source(tmp_path: Path, inner: str) -> None:
    source = archive(tmp_path, inner)
    dataset = ModelNet10(tmp_path / "root", source=source, num_points=8)
    tree = ModelNet10(tmp_path / "other", source=tmp_path / "tree", num_points=8)
    assert (dataset.points == tree.points).all()


@pytest.mark.parametrize("name", ["../evil.off", "/evil.off", "a\\..\\..\\evil.off"])
def test_archives_stay_inside_their_folder(tmp_path: Path, name: str) -> None:
    source = archive(tmp_path, **{name: "OFF"})
    with pytest.raises(DataError, match="a path out of its folder"):
        unpack_zip(source, tmp_path / "root" / "out", (".off",))
    assert not (tmp_path / "root" / "out").exists()
    assert not list(tmp_path.rglob("evil.off"))


def test_a_damaged_zip_leaves_nothing(tmp_path: Path) -> None:
    source = archive(tmp_path)
    data = bytearray(source.read_bytes())
    data[60] ^= 255
    for content in (bytes(data), bytes(data[:-30]), b""):
        source.write_bytes(content)
        with pytest.raises(DataError, match="delete it and get it again"):
            unpack_zip(source, tmp_path / "root" / "out", (".off",), "ModelNet10")
        assert not list((tmp_path / "root").glob("*"))


def test_a_full_disk_leaves_no_half_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extract, seen = zipfile.ZipFile.extract, []

    def full(self: zipfile.ZipFile, member: Any, path: Any) -> str:
        seen.append(member)
        if len(seen) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return extract(self, member, path)

    monkeypatch.setattr(zipfile.ZipFile, "extract", full)
    with pytest.raises(DataError, match="the disk is full"):
        ModelNet10(tmp_path / "root", source=archive(tmp_path), num_points=8)
    assert [path.name for path in (tmp_path / "root" / "raw").iterdir()] == [".unpack.lock"]
