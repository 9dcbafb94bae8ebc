from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

pytest.importorskip("PIL", reason="Pillow (extra images) is not installed")
from PIL import Image

from mgic_geo.datasets import ImageFolder, ImageNet, PointClouds, open_dataset, train_val_split
from mgic_geo.datasets.images import _lazy, read_image
from mgic_geo.errors import DataError
from mgic_geo.testing import write_tiny_image_tree, write_tiny_off_tree

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

SPLITS = ("train", "val")


def pack(folder: Path, target: Path, inner: str = "") -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path(inner) / file.relative_to(folder))
        archive.writestr("__MACOSX/red/._red_0001.png", "junk")
        archive.writestr(str(Path(inner) / ".DS_Store"), "junk")
    return target


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tiny_image_tree(tmp_path / "tree", images=3)


def test_items_and_attributes(tree: Path) -> None:
    dataset = ImageFolder(tree)
    assert len(dataset) == 9
    assert dataset.classes == ("blue", "green", "red")
    assert (dataset.num_classes, dataset.kind, dataset.ignore_index) == (3, "classification", None)
    assert dataset.names[:2] == ("blue/blue_0001", "blue/blue_0002")
    assert dataset.labels.dtype == torch.int64
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert dataset.bad_files == ()
    image, label = dataset[7]
    assert (image.dtype, image.shape, label) == (torch.uint8, (3, 16, 16), 2)
    assert torch.equal(image, read_image(tree / "red" / "red_0002.png"))
    assert image.float().mean((1, 2)).argmax() == 0
    assert torch.equal(dataset[-2][0], image)
    assert len(list(dataset)) == 9
    assert not hasattr(dataset, "images")  # what has it holds all in memory


def test_subset(tree: Path) -> None:
    dataset = ImageFolder(tree)
    part = dataset.subset(torch.tensor([8, 0]))
    assert type(part) is ImageFolder
    assert part.names == ("red/red_0003", "blue/blue_0001")
    assert part.labels.tolist() == [2, 0]
    assert torch.equal(part[0][0], dataset[8][0])
    assert (len(part), len(dataset)) == (2, 9)
    assert part.subset([1]).names == ("blue/blue_0001",)
    train, val = train_val_split(dataset.labels, dataset.names)
    assert dataset.subset(val).names == ("blue/blue_0003", "green/green_0003", "red/red_0003")
    assert len(dataset.subset(train)) == 6


@pytest.mark.parametrize("inner", ["", "mine", "a/b"])
def test_a_zip_is_the_same_and_stays_packed(tree: Path, tmp_path: Path, inner: str) -> None:
    folder = ImageFolder(tree)
    packed = ImageFolder(pack(tree, tmp_path / "tree.zip", inner))
    assert packed.classes == folder.classes
    assert packed.names == folder.names
    for (a, x), (b, y) in zip(packed, folder):
        assert torch.equal(a, b)
        assert x == y
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree", "tree.zip"]
    copy = pickle.loads(pickle.dumps(packed))  # as a started worker gets it
    assert torch.equal(copy[4][0], packed[4][0])


def test_workers_open_the_zip_for_themselves(tree: Path, tmp_path: Path) -> None:
    dataset = ImageFolder(pack(tree, tmp_path / "tree.zip"))
    expected = torch.stack([image for image, _ in dataset])
    loader = DataLoader(dataset, batch_size=2, num_workers=2, multiprocessing_context="fork")
    for _ in range(2):
        batches = list(loader)
        assert torch.equal(torch.cat([images for images, _ in batches]), expected)
        assert torch.equal(torch.cat([labels for _, labels in batches]), dataset.labels)


@pytest.mark.parametrize("packed", [False, True])
def test_splits_share_their_classes(tmp_path: Path, packed: bool) -> None:
    source = write_tiny_image_tree(tmp_path / "tree", splits=SPLITS)
    for file in (source / "val" / "blue").iterdir():
        file.unlink()
    (source / "val" / "blue").rmdir()
    if packed:
        source = pack(source, tmp_path / "tree.zip")
    val = ImageFolder(source, "val")
    assert val.classes == ImageFolder(source, "train").classes == ("blue", "green", "red")
    assert val.labels.tolist() == [1] * 4 + [2] * 4
    assert val.names[0] == "green/green_0005"
    with pytest.raises(DataError, match="holds train and val; name one with split="):
        ImageFolder(source)
    with pytest.raises(DataError, match="holds train and val; there is no 'test'"):
        ImageFolder(source, "test")
    opened = open_dataset(str(source), tmp_path / "root")
    assert opened.names == ImageFolder(source, "train").names


def test_images_may_lie_deeper_and_have_any_suffix(tmp_path: Path) -> None:
    image = Image.fromarray(np.full((4, 6, 3), 128, dtype=np.uint8))
    for path in ("cat/images/1.JPEG", "cat/2.webp", "cat-big/1.BMP", "cat/notes.txt", "cat/.x.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("txt"):
            (tmp_path / path).write_text("none")
        else:
            image.save(tmp_path / path)
    image.save(tmp_path / "overview.png")  # beside the classes, so of none
    dataset = ImageFolder(tmp_path)
    assert dataset.names == ("cat/2", "cat/images/1", "cat-big/1")
    assert dataset.labels.tolist() == [0, 0, 1]
    assert dataset[1][0].shape == (3, 4, 6)


def test_bad_files_are_left_out_by_name(tree: Path, tmp_path: Path) -> None:
    (tree / "green" / "green_0002.png").write_bytes(b"nothing")
    whole = (tree / "red" / "red_0001.png").read_bytes()
    (tree / "red" / "red_0001.png").write_bytes(whole[: len(whole) // 2])
    for _ in range(2):  # looked at, then from the cache
        with pytest.warns(UserWarning, match="2 of 9 images are left out") as warnings:
            dataset = ImageFolder(tree, root=tmp_path / "root")
        assert "green_0002.png: does not decode (not an image" in str(warnings[0].message)
        assert warnings[0].filename == __file__
        assert [name for name, _ in dataset.bad_files] == ["green/green_0002", "red/red_0001"]
        assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 2, 2]
        assert dataset.names[-2:] == ("red/red_0002", "red/red_0003")
        assert len(list(dataset)) == 7
    for root in (tmp_path / "root", tmp_path / "fresh", None):
        with pytest.raises(DataError, match=r"green_0002\.png: does not decode"):
            ImageFolder(tree, root=root, strict=True)
    late = ImageFolder(tree, check=False)
    assert len(late) == 9
    with pytest.raises(DataError, match=r"green_0002\.png: .*check=True to leave such files out"):
        late[4]


def test_the_verdict_follows_the_files(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    probe = _lazy.probe_image
    monkeypatch.setattr(_lazy, "probe_image", lambda *args: looked.append(args) or probe(*args))

    def looks(**arguments: Any) -> int:
        before = len(looked)
        ImageFolder(tree, root=tmp_path / "root", **arguments)
        return len(looked) - before

    assert looks(check=False) == 0
    assert looks() == 9
    assert looks() == 0
    Image.new("RGB", (3, 3)).save(tree / "red" / "red_0001.png")
    assert looks() == 9
    monkeypatch.setattr(_lazy, "_WORTH_CHECKING", 1000)
    Image.new("RGB", (4, 4)).save(tree / "red" / "red_0001.png")
    assert looks() == 0  # too much to look at unasked
    assert looks(check=True) == 9


def test_damage_in_a_zip(tree: Path, tmp_path: Path) -> None:
    source = pack(tree, tmp_path / "tree.zip")
    data = bytearray(source.read_bytes())
    data[data.index(b"blue/blue_0002.png") + 60] ^= 255
    source.write_bytes(data)
    with pytest.warns(UserWarning, match=r"1 of 9 .*\n.*blue_0002.png: damaged in its zip"):
        dataset = ImageFolder(source)
    assert dataset.names[:2] == ("blue/blue_0001", "blue/blue_0003")


def test_empty_class_folders(tree: Path) -> None:
    (tree / "amber").mkdir()
    (tree / "amber" / "notes.txt").write_text("to do")
    with pytest.warns(UserWarning, match="class folders without images: amber"):
        dataset = ImageFolder(tree)
    assert dataset.classes == ("amber", "blue", "green", "red")
    assert dataset.labels.tolist() == [1] * 3 + [2] * 3 + [3] * 3


@pytest.mark.parametrize(
    ("source", "arguments", "says"),
    [
        ("nowhere", {}, "nowhere: no such file or folder"),
        ("empty", {}, "no images in class folders; they belong into <class>/"),
        ("flat", {}, "no images in class folders"),
        ("text.zip", {}, "not a folder or readable zip"),
        ("tree", {"split": "test"}, "has no folder 'test' above its classes"),
        ("tree", {"classes": ("red", "blue")}, "unknown class folder green; known are red, blue"),
        ("bad", {}, r"none of its 1 images can be used; .*0\.png: does not decode"),
    ],
)
def test_wrong_sources(tmp_path: Path, source: str, arguments: dict[str, Any], says: str) -> None:
    write_tiny_image_tree(tmp_path / "tree", images=1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (3, 3)).save(tmp_path / "flat" / "0.png")
    (tmp_path / "text.zip").write_text("nothing")
    (tmp_path / "bad" / "red").mkdir(parents=True)
    (tmp_path / "bad" / "red" / "0.png").write_text("nothing")
    with pytest.raises(DataError, match=says):
        ImageFolder(tmp_path / source, **arguments)


def test_imagenet_is_a_tree_with_splits(tmp_path: Path) -> None:
    write_tiny_image_tree(tmp_path / "imagenet" / "raw", splits=SPLITS, images=2)
    val = open_dataset("imagenet", tmp_path, "val")
    assert type(val) is ImageNet
    assert val.names[0] == "blue/blue_0003"
    assert ImageNet(tmp_path / "imagenet" / "raw").labels.tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(DataError, match=r"ImageNet is not here. Register at"):
        ImageNet(tmp_path)
    with pytest.raises(DataError, match="split must be 'train' or 'val', got 'test'"):
        ImageNet(tmp_path, "test")


def test_open_dataset_tells_images_from_shapes(tree: Path, tmp_path: Path) -> None:
    images = open_dataset(str(tree), tmp_path / "root", num_points=8)
    assert (type(images), len(images)) == (ImageFolder, 9)
    assert (tmp_path / "root" / "tree" / "processed").is_dir()
    assert type(open_dataset(str(pack(tree, tmp_path / "a.zip")), tmp_path / "root")) is ImageFolder
    # meshes with pictures of their textures are shapes
    shapes = write_tiny_off_tree(tmp_path / "shapes", shapes=1)
    for folder in shapes.iterdir():
        (folder / "train" / "picture.png").write_bytes((tree / "red/red_0001.png").read_bytes())
    clouds = open_dataset(str(shapes), tmp_path / "root", "train", num_points=8)
    assert (type(clouds), len(clouds)) == (PointClouds, 3)
