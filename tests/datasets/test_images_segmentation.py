from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("PIL", reason="Pillow (extra images) is not installed")
from PIL import Image

from mgic_geo.datasets import (
    CamVid,
    Cityscapes,
    SegmentationFolder,
    open_dataset,
    train_val_split,
)
from mgic_geo.datasets.images import CAMVID_CLASSES, CITYSCAPES_CLASSES, read_image
from mgic_geo.errors import DataError
from mgic_geo.testing import write_tiny_segmentation_tree


def png(file: Path, pixels: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(file)


def mask_of(file: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(file)))


def pack(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    return target


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tiny_segmentation_tree(tmp_path / "tree", images=9)


@pytest.mark.parametrize("packed", [False, True])
def test_items_and_attributes(tree: Path, tmp_path: Path, packed: bool) -> None:
    source = pack(tree, tmp_path / "tree.zip") if packed else tree
    for dataset in (SegmentationFolder(source), open_dataset(str(source), tmp_path / "root")):
        assert type(dataset) is SegmentationFolder
        assert (len(dataset), dataset.kind, dataset.ignore_index) == (9, "segmentation", 255)
        assert dataset.classes == ("blue", "green", "red")
        assert dataset.labels is None
        assert dataset.names[0] == "scene_0001"
        image, mask = dataset[4]
        assert (image.dtype, image.shape) == (torch.uint8, (3, 24, 32))
        assert (mask.dtype, mask.shape) == (torch.uint8, (24, 32))
        assert torch.equal(image, read_image(tree / "images" / "scene_0005.png"))
        assert torch.equal(mask, mask_of(tree / "labels" / "scene_0005.png"))
        assert mask.unique().tolist() == [0, 1, 2, 255]
        for label, channel in enumerate((2, 1, 0)):  # blue, green, red
            assert image[:, mask == label].float().mean(1).argmax() == channel


def test_subset_and_the_last_eighth(tree: Path) -> None:
    dataset = SegmentationFolder(tree)
    train, val = train_val_split(dataset.labels, dataset.names)
    assert (train.tolist(), val.tolist()) == ([*range(8)], [8])
    part = dataset.subset(val)
    assert (type(part), part.names) == (SegmentationFolder, ("scene_0009",))
    assert torch.equal(part[0][1], dataset[8][1])


def test_masks_without_names_are_numbered(tree: Path) -> None:
    (tree / "classes.txt").unlink()
    assert SegmentationFolder(tree).classes == ("0", "1", "2")
    assert SegmentationFolder(tree, classes=("a", "b", "c", "d")).num_classes == 4
    assert SegmentationFolder(tree, ignore_index=2, classes=("a", "b"), check=False)


@pytest.mark.parametrize("form", ["above", "below", "annot"])
def test_splits(tmp_path: Path, form: str) -> None:
    tree = write_tiny_segmentation_tree(tmp_path / "tree", images=2, splits=("train", "val"))
    expected = [mask_of(tree / "val" / "labels" / f"scene_000{i}.png") for i in (3, 4)]
    for split in ("train", "val"):
        if form == "below":
            for kind in ("images", "labels"):
                (tree / kind).mkdir(exist_ok=True)
                (tree / split / kind).rename(tree / kind / split)
            (tree / split).rmdir()
        elif form == "annot":
            (tree / split / "labels").rename(tree / f"{split}annot")
            (tree / split / "images").rename(tree / "images")
            (tree / split).rmdir()
            (tree / "images").rename(tree / split)
    val = open_dataset(str(tree), tmp_path / "root", "val")
    assert val.names == ("scene_0003", "scene_0004")
    assert val.classes == ("blue", "green", "red")
    for (_, mask), other in zip(val, expected):
        assert torch.equal(mask, other)
    assert open_dataset(str(tree), tmp_path / "root").names == ("scene_0001", "scene_0002")
    with pytest.raises(DataError, match="holds train and val; name one with split="):
        SegmentationFolder(tree)
    with pytest.raises(DataError, match="holds train and val; there is no 'test'"):
        SegmentationFolder(tree, "test")


def test_files_that_do_not_decode(tree: Path, tmp_path: Path) -> None:
    (tree / "images" / "scene_0002.png").write_text("nothing")
    (tree / "labels" / "scene_0007.png").write_text("nothing")
    (tree / "classes.txt").unlink()  # all masks are looked at, also by who counts the classes
    for _ in range(2):
        with pytest.warns(UserWarning, match="2 of 9 images are left out") as warnings:
            dataset = SegmentationFolder(tree, root=tmp_path / "root")
        assert "images/scene_0002.png: does not decode" in str(warnings[0].message)
        assert [name for name, _ in dataset.bad_files] == ["scene_0002", "scene_0007"]
        assert len(list(dataset)) == len(dataset.names) == 7
        assert torch.equal(dataset[1][1], mask_of(tree / "labels" / "scene_0003.png"))
    with pytest.raises(DataError, match=r"scene_0002\.png: does not decode"):
        SegmentationFolder(tree, strict=True)


@pytest.mark.parametrize("check", [True, False])
def test_masks_that_do_not_fit(tree: Path, check: bool) -> None:
    def problem() -> str:
        with pytest.raises(DataError) as error:
            SegmentationFolder(tree, check=check)[2]
        return str(error.value)

    file = tree / "labels" / "scene_0003.png"
    mask = np.zeros((24, 32))
    mask[3, :4] = 7
    png(file, mask)
    assert f"{file}: holds the class id 7 at 4 pixels; known are 0 to 2, 255" in problem()
    png(file, mask[:20])
    assert f"{file}: is 32 x 20 pixels, its image images/scene_0003.png 32 x 24" in problem()
    png(file, np.zeros((24, 32, 3)))
    assert f"{file}: a colour image" in problem()
    file.unlink()
    assert "1 of 9 images have no mask: scene_0003" in problem()


def test_wrong_sources(tree: Path, tmp_path: Path) -> None:
    for arguments, says in (
        ({"split": "val"}, "has no split 'val'; all of it counts as 'train'"),
        ({"ignore_index": 300}, "ignore_index must be 0 to 255, got 300"),
        ({"classes": ()}, "masks know 1 to 255 classes, not 0"),
    ):
        with pytest.raises(DataError, match=says):
            SegmentationFolder(tree, **arguments)
    (tree / "classes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"classes\.txt: not a text of class names"):
        SegmentationFolder(tree)
    shutil.rmtree(tree / "images")
    with pytest.raises(DataError, match=r"no images; they belong into images/<name>\.jpg"):
        SegmentationFolder(tree)


def write_camvid(folder: Path, *names: str) -> Path:
    for name in names or ("0001TP_006690", "Seq05VD_f00000"):
        png(folder / "images" / f"{name}.png", np.zeros((3, 4, 3)))
        png(folder / "labels" / f"{name}.png", np.arange(12).reshape(3, 4))
    return folder


def test_camvid_is_found_in_its_forms(tmp_path: Path) -> None:
    tree = write_camvid(tmp_path / "tree")
    for split in ("train", "val"):
        (tmp_path / "root" / "camvid" / "raw").mkdir(parents=True, exist_ok=True)
        pack(tree, tmp_path / "root" / "camvid" / "raw" / f"camvid_{split}.zip")
    shutil.copytree(tree / "images", tmp_path / "segnet" / "val")
    shutil.copytree(tree / "labels", tmp_path / "segnet" / "valannot")
    for dataset in (
        CamVid(tree),
        CamVid(tree, "val"),
        open_dataset("camvid", tmp_path / "root"),
        open_dataset("camvid", tmp_path / "root", "val"),
        open_dataset(str(tmp_path / "root" / "camvid" / "raw" / "camvid_val.zip"), tmp_path),
        open_dataset(str(tree), tmp_path / "root"),
        CamVid(tmp_path / "segnet", "val"),
    ):
        assert type(dataset) is CamVid
        assert dataset.names == ("0001TP_006690", "Seq05VD_f00000")
        assert (dataset.classes, dataset.ignore_index) == (CAMVID_CLASSES, 11)
        assert dataset[1][1].flatten().tolist() == list(range(12))
    with pytest.raises(DataError, match="holds val; there is no 'test'"):
        CamVid(tmp_path / "segnet", "test")
    with pytest.raises(DataError, match=r"CamVid's 'test' is not here. Put camvid_test\.zip"):
        open_dataset("camvid", tmp_path / "root", "test")
    with pytest.raises(DataError, match="split must be 'train', 'val' or 'test', got 'all'"):
        CamVid(tree, "all")


def test_other_names_are_not_taken_for_camvid(tmp_path: Path) -> None:
    tree = write_camvid(tmp_path / "tree", "0001TP_006690", "mine")
    other = open_dataset(str(tree), tmp_path / "root")
    assert (type(other), other.num_classes) == (SegmentationFolder, 12)


def write_cityscapes(folder: Path, ids: Any, split: str = "train") -> Path:
    for city in ("aachen", "ulm"):
        for kind, suffix, pixels in (
            ("leftImg8bit", "leftImg8bit", np.zeros((*np.shape(ids), 3))),
            ("gtFine", "gtFine_labelIds", ids),
            ("gtFine", "gtFine_color", np.zeros((2, 2, 3))),
        ):
            png(folder / kind / split / city / f"{city}_000000_000019_{suffix}.png", pixels)
    return folder


def test_cityscapes_trains_nineteen_of_its_ids(tmp_path: Path) -> None:
    ids = [[*range(34), 255]]
    write_cityscapes(tmp_path / "cityscapes" / "raw", ids)
    dataset = open_dataset("cityscapes", tmp_path)
    assert type(dataset) is Cityscapes
    assert dataset.names == ("aachen/aachen_000000_000019", "ulm/ulm_000000_000019")
    assert (dataset.num_classes, dataset.ignore_index) == (19, 255)
    mask = dataset[1][1].flatten().tolist()
    named = {i: CITYSCAPES_CLASSES[label] for i, label in zip(ids[0], mask) if label != 255}
    assert list(named) == [7, 8, 11, 12, 13, 17, 19, 20, *range(21, 29), 31, 32, 33]
    assert mask[-1] == 255
    assert [named[i] for i in (7, 11, 19, 23, 26, 33)] == [
        "road",
        "building",
        "traffic light",
        "sky",
        "car",
        "bicycle",
    ]
    train, val = train_val_split(dataset.labels, dataset.names)
    assert (len(train), len(val)) == (1, 1)


def test_cityscapes_that_is_not_as_published(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path, [[7, 34, 8]])
    says = r"aachen_000000_000019_gtFine_labelIds\.png: holds the class id 34 at 1 pixels; known "
    with pytest.raises(DataError, match=says + "are 0 to 33, 255"):
        Cityscapes(root)
    with pytest.raises(DataError, match=r"no leftImg8bit/val beside gtFine/val\. Register at"):
        Cityscapes(root, "val")
    with pytest.raises(DataError, match="got 'all'"):
        Cityscapes(root, "all")
    (root / "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 images have no mask .*: ulm/ulm_000000_000019"):
        Cityscapes(root)


def test_the_shared_camvid(tmp_path: Path, shared_data: Path) -> None:
    for split, count in (("train", 367), ("val", 101)):
        data = open_dataset(str(shared_data / f"camvid_{split}.zip"), tmp_path, check=False)
        assert (type(data), len(data), data.bad_files) == (CamVid, count, ())
        pixels = torch.zeros(12)
        for i in range(0, count, 20):
            image, mask = data[i]
            assert (image.shape, mask.shape) == ((3, 360, 480), (360, 480))
            pixels += torch.bincount(mask.flatten(), minlength=12)
        assert pixels.argsort(descending=True)[:2].tolist() == [3, 1]  # road and buildings
