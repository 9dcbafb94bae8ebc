from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.loader import DataLoader

from mgic_geo.datasets import MODELNET10_CLASSES, ModelNet10, _sampling, clouds
from mgic_geo.errors import DataError
from mgic_geo.io import Mesh, read_shape, write_off


def write_tree(folder: Path, count: int = 3, classes: tuple[str, ...] = ("bed", "sofa")) -> Path:
    rng = np.random.default_rng(0)
    faces = [[0, 1, 2], [0, 2, 3], [0, 3, 1]]
    for name in classes:
        for split in ("train", "test"):
            for i in range(count):
                file = folder / name / split / f"{name}_{i:04d}.off"
                write_off(file, Mesh(rng.normal(size=(4, 3)), faces))
    return folder


def write_pcd(file: Path, points: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    header = "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\n"
    body = points.astype("<f4").tobytes()
    file.write_bytes(f"{header}WIDTH {len(points)}\nHEIGHT 1\nDATA binary\n".encode() + body)


def test_items_and_attributes(tmp_path: Path) -> None:
    dataset = ModelNet10(tmp_path / "root", source=write_tree(tmp_path / "tree"), num_points=16)
    assert len(dataset) == 6
    assert dataset.classes == MODELNET10_CLASSES
    assert dataset.num_classes == 10
    assert dataset.names == tuple(f"{name}_000{i}" for name in ("bed", "sofa") for i in range(3))
    assert dataset.bad_files == ()
    data = dataset[4]
    assert (data.name, data.y.tolist(), data.y.dtype) == ("sofa_0001", [7], torch.int64)
    assert (data.pos.shape, data.pos.dtype) == ((16, 3), torch.float32)
    part = dataset[torch.tensor([5, 1])]
    assert part.names == ("sofa_0002", "bed_0001")
    assert part.labels.tolist() == [7, 1]
    assert torch.equal(part.points[0], dataset[5].pos)
    batch = next(iter(DataLoader(dataset, batch_size=6)))
    assert torch.equal(batch.pos, dataset.points.reshape(-1, 3))
    assert torch.equal(batch.y, dataset.labels)


def test_transforms_cannot_reach_the_stored_clouds(tmp_path: Path) -> None:
    def zero(data: Any) -> Any:
        data.pos.zero_()
        return data

    source = write_tree(tmp_path / "tree")
    dataset = ModelNet10(tmp_path / "root", source=source, num_points=16, transform=zero)
    assert not dataset[0].pos.any()
    assert dataset.points[0].any()


@pytest.mark.parametrize("sampling", ["surface", "fps", "poisson"])
def test_points_follow_from_the_seed_alone(tmp_path: Path, sampling: str) -> None:
    if sampling == "poisson":
        pytest.importorskip("open3d", reason="Open3D (extra mesh) is not installed")
    tree = write_tree(tmp_path / "tree")
    mesh = (tree / "bed" / "train" / "bed_0000.off").read_text()
    for file in tree.rglob("*.off"):
        file.write_text(mesh)  # one mesh under many names: still different points
    one = ModelNet10(tmp_path / "a", source=tree, num_points=16, sampling=sampling, workers=1)
    (tree / "bed" / "train" / "bed_0000.off").unlink()  # neighbours do not matter
    two = ModelNet10(tmp_path / "b", source=tree, num_points=16, sampling=sampling, workers=1)
    three = ModelNet10(tmp_path / "c", source=tree, num_points=16, sampling=sampling, seed=1)
    assert torch.equal(one.points[1:], two.points)
    assert not torch.equal(two.points, three.points)
    assert len(one.points.unique(dim=0)) == len(one)


def test_workers_do_not_matter_nor_need_a_main_guard(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree", count=20)
    script = tmp_path / "script.py"
    script.write_text(
        "from mgic_geo.datasets import ModelNet10\n"
        "print(len(ModelNet10('root', source='tree', num_points=8, workers=2)))\n"
    )
    run = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert run.stdout == "40\n"
    assert "Sampling" not in run.stderr  # no bar where there is no terminal
    alone = ModelNet10(tmp_path / "alone", source=tree, num_points=8, workers=1)
    shared = ModelNet10(tmp_path / "root", source=tree, num_points=8)
    assert torch.equal(alone.points, shared.points)
    assert alone.names == shared.names


def test_workers_join_once_the_work_is_known_to_be_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = write_tree(tmp_path / "tree", count=10)
    files = sorted(tree.rglob("*.off"))
    tasks = [_sampling.SamplingTask(file, 32, "fps", seed) for seed, file in enumerate(files)]
    started = []
    pool = _sampling.ProcessPoolExecutor
    monkeypatch.setattr(
        _sampling, "ProcessPoolExecutor", lambda *args: started.append(args[0]) or pool(*args)
    )
    monkeypatch.setattr(_sampling, "usable_processors", lambda: 2)
    monkeypatch.setattr(_sampling, "_CHUNK", 3)
    alone = _sampling.sample_files(tasks)
    assert not started
    monkeypatch.setattr(_sampling, "_WORTH_WORKERS", 0.0)
    shared = _sampling.sample_files(tasks)
    assert started == [1]
    for a, b in zip(alone, shared, strict=True):
        np.testing.assert_array_equal(a.points, b.points)


def test_two_processes_at_once(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", count=20)
    code = (
        "import hashlib; from mgic_geo.datasets import ModelNet10\n"
        "d = ModelNet10('root', source='tree', num_points=64, workers=1)\n"
        "print(len(d), hashlib.sha256(d.points.numpy().tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    first, second = (run.communicate()[0] for run in runs)
    assert first == second
    assert first.startswith("40 ")
    assert len(list((tmp_path / "root" / "processed").glob("*.safetensors"))) == 1
    assert not list((tmp_path / "root").rglob("*.tmp"))


def test_the_cache_follows_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    sample_files = clouds.sample_files
    monkeypatch.setattr(
        clouds, "sample_files", lambda *args: built.append(args) or sample_files(*args)
    )
    tree = write_tree(tmp_path / "tree")

    def builds(**arguments: Any) -> int:
        before = len(built)
        ModelNet10(tmp_path / "root", **{"source": tree, "num_points": 8, **arguments})
        return len(built) - before

    assert builds() == 1
    assert builds() == 0
    assert builds(workers=1, transform=lambda data: data) == 0
    assert builds(num_points=9) == 1
    assert builds(split="test") == 1
    assert builds(sampling="fps") == 1
    assert builds(seed=1) == 1
    tree = tree.rename(tmp_path / "moved")
    assert builds() == 0
    assert builds(force_reload=True) == 1
    with (tree / "bed" / "train" / "bed_0000.off").open("a") as file:
        file.write("# longer now\n")
    assert builds() == 1
    for cache in (tmp_path / "root" / "processed").glob("*.safetensors"):
        cache.write_bytes(cache.read_bytes()[:100])
    assert builds() == 1
    assert builds() == 0


def test_bad_meshes_are_reported_by_name(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "tree")
    (tree / "bed" / "train" / "bed_0001.off").write_text("OFF\n1 1 0\n")
    (tree / "sofa" / "train" / "sofa_0000.off").write_text("hello")
    arguments: dict[str, Any] = {"source": tree, "num_points": 8}
    for _ in range(2):  # built, then from the cache
        with pytest.warns(UserWarning, match="2 of 6 shapes are left out") as warnings:
            dataset = ModelNet10(tmp_path / "root", **arguments)
        assert "bed_0001.off: not a readable OFF file" in str(warnings[0].message)
        assert dataset.names == ("bed_0000", "bed_0002", "sofa_0001", "sofa_0002")
        assert [name for name, _ in dataset.bad_files] == ["bed_0001", "sofa_0000"]
        assert dataset.labels.tolist() == [1, 1, 7, 7]
    for root in ("root", "fresh"):
        with pytest.raises(DataError, match=r"bed_0001\.off"):
            ModelNet10(tmp_path / root, strict=True, **arguments)
    assert not list((tmp_path / "fresh").rglob("*.safetensors"))


def test_a_file_that_cannot_be_opened_today_is_tried_tomorrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(file: Path) -> Any:
        if file.stem == "bed_0001":
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return read_shape(file)

    tree = write_tree(tmp_path / "tree")
    with monkeypatch.context() as patch:
        patch.setattr(_sampling, "read_shape", read)
        with pytest.warns(UserWarning, match="Permission denied.*bed_0001"):
            ModelNet10(tmp_path / "root", source=tree, num_points=8)
    assert len(ModelNet10(tmp_path / "root", source=tree, num_points=8)) == 6


def test_a_full_disk_leaves_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    tree = write_tree(tmp_path / "tree")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(DataError, match="the disk is full"):
            ModelNet10(tmp_path / "root", source=tree, num_points=8)
    assert not [f for f in (tmp_path / "root").rglob("*") if f.is_file() and f.suffix != ".lock"]
    assert len(ModelNet10(tmp_path / "root", source=tree, num_points=8)) == 6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"split": "val"}, "split must be 'train' or 'test', got 'val'"),
        ({"num_points": 0}, "num_points must be at least 1, got 0"),
        ({"sampling": "random"}, "sampling must be one of surface, fps, poisson"),
        ({"source": "nowhere"}, "nowhere: no such file or folder"),
        ({"source": "nowhere.zip"}, "no such file or folder"),
        ({"source": "tree/bed/train/bed_0000.off"}, "neither a folder nor a .zip or .npz"),
        ({"source": "lamps"}, "unknown class folders car, lamp; known are bathtub, bed"),
        ({"source": "tree/bed"}, "unknown class folders test, train"),
        ({"source": "empty"}, "no shapes in it; they belong into <class>/train/"),
        ({"source": "bad"}, "none of its 1 shapes can be used; .*not an OFF file"),
        ({"source": "no.zip"}, "not a readable ZIP"),
        ({"source": "no.npz"}, "not a readable NPZ"),
        ({"source": "clouds.npz", "split": "test"}, "holds one split only"),
        ({"source": "clouds.npz"}, "have 8 points, 16 asked; ask for at most 8"),
        ({"source": "clouds.npz", "num_points": 8, "sampling": "poisson"}, "needs a mesh"),
        ({"source": "other.npz", "num_points": 8}, "unknown class lamp; known are"),
    ],
)
def test_wrong_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tree(Path("tree"))
    write_tree(Path("lamps"), classes=("bed", "car", "lamp"))
    Path("empty").mkdir()
    Path("bad/bed/train").mkdir(parents=True)
    Path("bad/bed/train/a.off").write_text("nothing")
    Path("no.zip").write_text("nothing")
    Path("no.npz").write_text("nothing")
    points = np.random.default_rng(0).normal(size=(2, 8, 3))
    np.savez("clouds.npz", points=points, label=[0, 1], classes=["bed", "sofa"])
    np.savez("other.npz", points=points, label=[0, 1], classes=["bed", "lamp"])
    with pytest.raises(DataError, match=says) as error:
        ModelNet10("root", **{"source": "tree", "num_points": 16, **arguments})
    assert len(str(error.value).splitlines()) <= 2


def test_trees_are_found_from_above_and_in_raw(tmp_path: Path) -> None:
    above = ModelNet10(tmp_path / "a", source=write_tree(tmp_path / "up/ModelNet10").parent)
    write_tree(tmp_path / "b" / "raw" / "ModelNet10")
    write_tree(tmp_path / "c" / "raw")
    for root in ("b", "c"):
        found = ModelNet10(tmp_path / root, download=False)
        assert torch.equal(above.points, found.points)


def test_clouds_of_another_size(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(3, 40, 3)).astype(np.float32)
    for i, size in enumerate((40, 30, 20)):
        write_pcd(tmp_path / "tree" / "bed" / "train" / f"bed_{i}.pcd", points[i, :size])
    with pytest.warns(UserWarning, match=r"bed_2\.pcd: has 20 points, 30 asked"):
        dataset = ModelNet10(tmp_path / "root", source=tmp_path / "tree", num_points=30)
    assert dataset.names == ("bed_0", "bed_1")
    chosen = {tuple(point) for point in dataset[0].pos.tolist()}
    assert len(chosen) == 30
    assert chosen <= {tuple(point) for point in points[0].tolist()}
    np.testing.assert_array_equal(dataset[1].pos, points[1, :30])


def test_one_npz_may_hold_both_splits(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(4, 8, 3)).astype(np.float32)
    file = tmp_path / "both.npz"
    splits = ["test", "train", "test", "train"]
    # its classes are in an order of its own
    np.savez(file, points=points, label=[0, 1, 1, 0], classes=["sofa", "bed"], split=splits)
    test = ModelNet10(tmp_path / "root", split="test", source=file, num_points=8)
    assert test.labels.tolist() == [7, 1]
    np.testing.assert_array_equal(test.points, points[[0, 2]])
    fewer = ModelNet10(tmp_path / "root", source=file, num_points=4, sampling="fps")
    assert fewer.points.shape == (2, 4, 3)


def test_npz_and_pcd_of_the_same_clouds_agree(tmp_path: Path, shared_data: Path) -> None:
    npz = ModelNet10(tmp_path, source=shared_data / "modelnet10_train.npz")
    pcd = ModelNet10(tmp_path, source=shared_data / "modelnet10_pcd")
    assert npz.classes == pcd.classes == MODELNET10_CLASSES
    sizes = [106, 515, 889, 200, 200, 465, 200, 680, 392, 344]
    assert torch.bincount(npz.labels).tolist() == sizes
    assert pcd.labels.tolist() == [label for label in range(10) for _ in range(2)]
    index = [npz.names.index(name) for name in pcd.names]
    assert torch.equal(npz.points[index], pcd.points)
    fps = [
        ModelNet10(tmp_path, source=source, num_points=32, sampling="surface", seed=3)
        for source in (shared_data / "modelnet10_train.npz", shared_data / "modelnet10_pcd")
    ]
    assert torch.equal(fps[0].points[index], fps[1].points)


def test_real_meshes_and_clouds_cover_the_same_shape(tmp_path: Path, shared_data: Path) -> None:
    meshes = ModelNet10(tmp_path, source=shared_data / "modelnet10_off")
    clouds_ = ModelNet10(tmp_path, source=shared_data / "modelnet10_train.npz")
    assert meshes.names == ("bathtub_0001", "bathtub_0002", "bathtub_0004")
    for data in meshes:
        other = clouds_[clouds_.names.index(data.name)].pos
        size = other.amax(0) - other.amin(0)
        assert ((data.pos.mean(0) - other.mean(0)).abs() < 0.1 * size).all()
        # each set's farthest point from the other one is near it
        distance = torch.cdist(data.pos, other)
        assert max(distance.amin(0).max(), distance.amin(1).max()) < 0.2 * size.max()
