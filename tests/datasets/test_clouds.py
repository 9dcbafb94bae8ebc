from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mgic_geo.datasets import PointClouds, sample_points
from mgic_geo.errors import DataError
from mgic_geo.io import Mesh, write_off

POINTS = np.random.default_rng(0).normal(size=(50, 3))
MESH = Mesh([[0, 0, 0], [2, 0, 0], [0, 2, 0]], [[0, 1, 2]])


def write_mixed(folder: Path) -> Path:
    write_off(folder / "plate" / "one.off", MESH)
    (folder / "noise").mkdir()
    np.save(folder / "noise" / "a.npy", POINTS)
    np.savez(folder / "noise" / "b.npz", points=POINTS)
    np.savetxt(folder / "noise" / "c.xyz", POINTS)
    np.savetxt(folder / "noise" / "a.xyz", POINTS)  # the same shape in another format
    (folder / "noise" / "notes.txt").write_text("not a shape")
    (folder / ".hidden").mkdir()
    return folder


def test_own_shapes_in_any_format(tmp_path: Path) -> None:
    dataset = PointClouds(write_mixed(tmp_path / "own"), num_points=20)
    assert dataset.classes == ("noise", "plate")
    assert dataset.names == ("a", "b", "c", "one")
    assert dataset.labels.tolist() == [0, 0, 0, 1]
    assert (dataset[3].pos[:, 2] == 0).all()
    assert not list(tmp_path.rglob("*.safetensors"))


def test_given_classes_decide_the_labels(tmp_path: Path) -> None:
    folder = write_mixed(tmp_path / "own")
    dataset = PointClouds(folder, tmp_path, ("plate", "cup", "noise"), num_points=20)
    assert dataset.labels.tolist() == [0, 2, 2, 2]
    assert dataset.num_classes == 3
    with pytest.raises(DataError, match="unknown class folder noise; known are plate"):
        PointClouds(folder, classes=["plate"], num_points=20)


def test_an_npz_of_any_classes(tmp_path: Path) -> None:
    points = np.stack([POINTS, POINTS + 1, np.ones_like(POINTS)])
    file = tmp_path / "a.npz"
    np.savez(file, points=points, label=[1, 0, 1], classes=["cup", "jug"], name=["x", "y", "z"])
    with pytest.warns(UserWarning, match="z: all 50 points are the same"):
        dataset = PointClouds(file, num_points=50)
    assert dataset.classes == ("cup", "jug")
    assert dataset.names == ("x", "y")
    assert torch.equal(dataset.points, torch.tensor(points[:2], dtype=torch.float32))
    with pytest.raises(DataError, match="z: all 50 points"):
        PointClouds(file, num_points=50, strict=True)


@pytest.mark.parametrize("sampling", ["surface", "fps", "poisson"])
@pytest.mark.parametrize("shape", [MESH, POINTS], ids=["mesh", "cloud"])
def test_sampling_gives_the_asked_number(shape: Mesh | np.ndarray, sampling: str) -> None:
    if sampling == "poisson":
        if not isinstance(shape, Mesh):
            return
        pytest.importorskip("open3d", reason="Open3D (extra mesh) is not installed")
    points = sample_points(shape, 20, sampling, seed=5)
    assert points.shape == (20, 3)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, sample_points(shape, 20, sampling, seed=5))
    assert (points != sample_points(shape, 20, sampling, seed=6)).any()


def test_farthest_points_are_more_even() -> None:
    def gap(sampling: str) -> float:
        points = torch.from_numpy(sample_points(MESH, 50, sampling))
        return torch.cdist(points, points).fill_diagonal_(9).min().item()

    assert gap("fps") > 3 * gap("surface")


@pytest.mark.parametrize(
    ("shape", "sampling", "says"),
    [
        (POINTS[:10], "surface", "a.pcd: has 10 points, 20 asked"),
        (POINTS, "poisson", "Poisson-disk sampling needs a mesh"),
        (POINTS * 1e300, "surface", "too large for single precision"),
        (POINTS * np.nan, "surface", "50 of 50 points have NaN"),
    ],
)
def test_unusable_shapes(shape: np.ndarray, sampling: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        sample_points(shape, 20, sampling, name="a.pcd")


def test_points_that_are_nowhere_are_counted_once(tmp_path: Path) -> None:
    folder = tmp_path / "own" / "ball"
    folder.mkdir(parents=True)
    for name, holes in (("a", 20), ("b", 0), ("c", 5)):
        points = POINTS.copy()
        points[:holes, 1] = np.nan
        np.save(folder / f"{name}.npy", points)
    says = r"own: 25 points of 2 of its 3 shapes have NaN or infinite coordinates and are left out"
    for _ in range(2):  # from the files, then from the cache
        with pytest.warns(UserWarning, match=says) as caught:
            dataset = PointClouds(tmp_path / "own", tmp_path, num_points=30)
        assert len(caught) == 1
        assert dataset.names == ("a", "b", "c")
