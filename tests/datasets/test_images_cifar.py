from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

pytest.importorskip("PIL", reason="Pillow (extra images) is not installed")
from PIL import Image

from mgic_geo.datasets import Cifar10, Cifar100, ImageFolder, open_dataset, train_val_split
from mgic_geo.datasets.images import CIFAR10_CLASSES, CIFAR100_CLASSES
from mgic_geo.errors import DataError
from mgic_geo.testing import write_tiny_image_tree


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes strings as Python 2 did, as the published archives have them."""

    dispatch: ClassVar[dict[type, Any]] = {**pickle._Pickler.dispatch}  # type: ignore[attr-defined]

    def save_string(self, value: bytes | str) -> None:
        data = value.encode() if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string


def python2(value: Any) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, 2).dump(value)
    return file.getvalue().replace(b"numpy._core.multiarray\n", b"numpy.core.multiarray\n")


def write_archive(file: Path, hundred: bool = False, each: int = 4, **extra: bytes) -> np.ndarray:
    """A small archive in the official form; returns the pixels of its training images."""
    rng = np.random.default_rng(0)
    folder = "cifar-100-python" if hundred else "cifar-10-batches-py"
    classes = CIFAR100_CLASSES if hundred else CIFAR10_CLASSES
    train = ["train"] if hundred else [f"data_batch_{i}" for i in range(1, 6)]
    kind = "fine_" if hundred else ""
    files = {"meta" if hundred else "batches.meta": python2({f"{kind}label_names": list(classes)})}
    pixels = []
    for name in (*train, "test" if hundred else "test_batch"):
        data = rng.integers(0, 256, (each, 3072), dtype=np.uint8)
        labels = [(len(pixels) + 3 * i) % len(classes) for i in range(each)]
        names = [f"{classes[label]}_s_{i:06d}.png" for i, label in enumerate(labels)]
        batch = {f"{kind}labels": labels, "data": data, "filenames": names, "batch_label": "x"}
        files[name] = python2(batch | ({"coarse_labels": [0] * each} if hundred else {}))
        pixels.append(data)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as archive:
        for name, content in (files | extra).items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return np.concatenate(pixels[:-1])


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write_archive(tmp_path / "cifar-10-python.tar.gz")
    return tmp_path / "cifar-10-python.tar.gz"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "www").mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None: ...

    serve = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=os.fspath(tmp_path / "www"))
    )
    thread = threading.Thread(target=serve.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{serve.server_port}"
    serve.shutdown()
    thread.join()
    serve.server_close()


def test_the_pickles_are_those_of_python_2(tmp_path: Path) -> None:
    content = pickle.loads(python2({"a": np.arange(3)}), encoding="bytes")
    assert list(content) == [b"a"]
    assert b"numpy.core.multiarray" in python2(np.arange(3))


def test_the_official_archive(tmp_path: Path) -> None:
    pixels = write_archive(tmp_path / "raw" / "cifar-10-python.tar.gz")
    train = Cifar10(tmp_path, download=False)
    assert (len(train), train.num_classes, train.kind) == (20, 10, "classification")
    assert train.classes == CIFAR10_CLASSES
    assert (train.images.dtype, train.images.shape) == (torch.uint8, (20, 3, 32, 32))
    # published as rows of red, then of green, then of blue
    np.testing.assert_array_equal(train.images[7, 1, 2], pixels[7, 1024 + 64 : 1024 + 96])
    assert train.labels.tolist()[:8] == [0, 3, 6, 9, 1, 4, 7, 0]
    assert train.names[:2] == ("airplane_s_000000", "cat_s_000001")
    image, label = train[3]
    assert torch.equal(image, train.images[3])
    assert label == 9
    image.zero_()
    assert train.images[3].any()
    assert len(Cifar10(tmp_path, "test", download=False)) == 4


def test_a_hundred_classes(tmp_path: Path) -> None:
    write_archive(tmp_path / "raw" / "cifar-100-python.tar.gz", hundred=True)
    train = open_dataset(
        "cifar100", tmp_path.parent, source=tmp_path / "raw" / "cifar-100-python.tar.gz"
    )
    assert (len(train), train.num_classes) == (4, 100)
    assert [train.classes[label] for label in train.labels] == [
        name.rpartition("_s_")[0] for name in train.names
    ]
    source = tmp_path / "raw" / "cifar-100-python.tar.gz"
    opened = open_dataset("cifar100", tmp_path / "other", "test", source=source)
    assert (type(opened), len(opened)) == (Cifar100, 4)


def test_an_unpacked_archive(archive: Path, tmp_path: Path) -> None:
    packed = Cifar10(tmp_path / "a", source=archive)
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "b" / "raw", filter="data")
    for arguments in ({}, {"source": tmp_path / "b" / "raw" / "cifar-10-batches-py"}):
        unpacked = Cifar10(tmp_path / "b", **arguments)
        assert torch.equal(unpacked.images, packed.images)
        assert unpacked.names == packed.names


def test_subset_and_validation(archive: Path, tmp_path: Path) -> None:
    train = Cifar10(tmp_path, source=archive)
    parts = [train.subset(part) for part in train_val_split(train.labels, train.names, 0.25)]
    assert [type(part) for part in parts] == [Cifar10, Cifar10]
    assert sorted(parts[0].names + parts[1].names) == sorted(train.names)
    for part in parts:
        assert len(part.images) == len(part.labels) == len(part) == len(part.names)
        for image, label, name in zip(part.images, part.labels, part.names):
            assert label == CIFAR10_CLASSES.index(name.rpartition("_s_")[0])
            assert any(torch.equal(image, other) for other in train.images[train.labels == label])


def test_the_cache_follows_the_source(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Cifar10(tmp_path / "root", source=archive)
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", None)
        again = Cifar10(tmp_path / "root", source=archive)
        assert torch.equal(first.images, again.images)
        assert (first.names, first.bad_files) == (again.names, again.bad_files)
    write_archive(archive, each=5)
    assert len(Cifar10(tmp_path / "root", source=archive)) == 25
    for cache in (tmp_path / "root" / "processed").glob("*.safetensors"):
        cache.write_bytes(cache.read_bytes()[:100])
    assert len(Cifar10(tmp_path / "root", source=archive)) == 25


def write_images(folder: Path, classes: tuple[str, ...] = CIFAR10_CLASSES) -> Path:
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (32, 32), (label, i, 0)).save(folder / name / f"{i:04d}.png")
    return folder


def test_images_in_class_folders(tmp_path: Path) -> None:
    tree = write_images(tmp_path / "tree")
    dataset = Cifar10(tmp_path / "root", source=tree)
    assert (
        dataset.images[:, 0, 5, 5].tolist() == dataset.labels.tolist() == sorted([*range(10)] * 2)
    )
    assert dataset.images[:, 1, 5, 5].tolist() == [0, 1] * 10
    assert dataset.names[:2] == ("airplane/0000", "airplane/0001")
    with pytest.raises(DataError, match="has no folder 'test' above its classes"):
        Cifar10(tmp_path / "root", "test", source=tree)
    opened = open_dataset(str(tree), tmp_path / "root")
    assert isinstance(opened, Cifar10)
    assert torch.equal(opened.images, dataset.images)

    (tree / "cat" / "0001.png").write_text("nothing")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"1 of 20 images are left out:\n.*cat/0001.png"):
            left = Cifar10(tmp_path / "root", source=tree)
        assert left.images[:, 0, 5, 5].tolist() == left.labels.tolist()
        assert (len(left), left.bad_files[0][0]) == (19, "cat/0001")
    with pytest.raises(DataError, match=r"cat/0001\.png: does not decode"):
        Cifar10(tmp_path / "root", source=tree, strict=True)

    Image.new("RGB", (32, 30)).save(tree / "cat" / "0001.png")
    with pytest.raises(DataError, match=r"cat/0001\.png: is 32 x 30 pixels, not 32 x 32"):
        Cifar10(tmp_path / "root", source=tree)


def test_larger_images_of_the_same_classes_are_no_cifar(tmp_path: Path) -> None:
    for name in CIFAR10_CLASSES:
        (tmp_path / "large" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "large" / name / "0.png")
    assert type(open_dataset(str(tmp_path / "large"), tmp_path / "root")) is ImageFolder


def test_it_downloads_and_checks(tmp_path: Path, server: str) -> None:
    write_archive(tmp_path / "www" / "cifar-10-python.tar.gz")
    mirrors = [f"{server}/missing.tar.gz", f"{server}/cifar-10-python.tar.gz"]
    md5 = hashlib.md5((tmp_path / "www" / "cifar-10-python.tar.gz").read_bytes()).hexdigest()
    with pytest.raises(DataError) as error:  # it is not the official one
        Cifar10(tmp_path / "root", mirrors=mirrors)
    first, second = str(error.value).splitlines()
    assert "CIFAR-10 is not here, and the download failed" in first
    assert "another checksum" in first
    assert second.startswith("Put cifar-10-python.tar.gz (https://")
    assert not (tmp_path / "root" / "raw" / "cifar-10-python.tar.gz").exists()
    assert len(Cifar10(tmp_path / "root", mirrors=mirrors, md5=md5)) == 20
    assert len(Cifar10(tmp_path / "root", "test", mirrors=[])) == 4


def test_offline_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"CIFAR-100 is not here, .*off\.\nPut cifar-100-python"):
        Cifar100(tmp_path, download=False)
    with pytest.raises(DataError, match="split must be 'train' or 'test', got 'val'"):
        Cifar10(tmp_path, "val")


class Evil:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (os.fspath(self.file),)


def test_nothing_in_an_archive_is_run(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    evil = pickle.dumps({"data": Evil(tmp_path / "evil")})
    write_archive(archive, data_batch_3=evil)
    with pytest.raises(DataError, match=r"data_batch_3: .*asks for posix.mkdir; do not trust it"):
        Cifar10(tmp_path / "root", source=archive)
    assert not (tmp_path / "evil").exists()
    pickle.loads(evil)  # so it would have
    assert (tmp_path / "evil").exists()


PIXELS = np.zeros((2, 3072), dtype=np.uint8)
GOOD = {"data": PIXELS, "labels": [0, 1], "filenames": ["a.png", "b.png"]}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data_batch_2", b"hello", "data_batch_2: not a readable batch of images"),
        ("data_batch_2", python2([1]), "data_batch_2: holds a list, no dictionary"),
        ("data_batch_2", python2({}), "data_batch_2 does not hold images of 32 x 32"),
        ("data_batch_2", python2(GOOD | {"labels": [0, 10]}), "data_batch_2 does not hold"),
        ("data_batch_2", python2(GOOD | {"labels": [0]}), "data_batch_2 does not hold"),
        ("data_batch_2", python2(GOOD | {"data": PIXELS[:, 1:]}), "data_batch_2 does not hold"),
        ("batches.meta", python2({"label_names": ["a"]}), "does not hold the class names airplane"),
    ],
)
def test_batches_that_do_not_fit(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    archive = tmp_path / "a.tar.gz"
    write_archive(archive, **{name: content})
    with pytest.raises(DataError, match=says):
        Cifar10(tmp_path / "root", source=archive)


def test_damaged_and_incomplete_archives(archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    for damaged in (b"nothing", data[: len(data) // 2]):
        archive.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a damaged archive .*; delete it and get it again"):
            Cifar10(tmp_path / "root", source=archive)
    write_archive(archive, hundred=True)
    with pytest.raises(DataError, match=r"lacks data_batch_1, data_batch_2, .*, batches\.meta"):
        Cifar10(tmp_path / "root", source=archive)
    with pytest.raises(DataError, match="unknown class folders blue, green, red"):
        Cifar10(tmp_path, source=write_tiny_image_tree(tmp_path / "tree"))


def test_the_shared_images(shared_data: Path) -> None:
    images = ImageFolder(shared_data / "cifar10_train_jpeg.zip", check=False)
    assert images.classes == CIFAR10_CLASSES
    assert torch.bincount(images.labels).tolist() == [5000] * 10
    assert images[49_999][0].shape == (3, 32, 32)
    train, val = train_val_split(images.labels, images.names, 0.1)
    assert (len(train), len(val)) == (45_000, 5_000)
