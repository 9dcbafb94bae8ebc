from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mgic_geo.datasets import Furniture10, PointClouds, open_dataset, sample_points
from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.errors import DataError
from mgic_geo.io import PointCloud, write_off

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(50, 3))
NORMALS = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
COLORS = RNG.random((50, 3))


def folder(tmp_path: Path) -> Path:
    (tmp_path / "own" / "ball").mkdir(parents=True)
    for name, columns in (("full", [POINTS, NORMALS]), ("bare", [POINTS])):
        np.savetxt(tmp_path / "own" / "ball" / f"{name}.xyz", np.hstack(columns))
    write_off(tmp_path / "own" / "chair" / "one.off", furniture_mesh("chair", seed=1))
    return tmp_path / "own"


def test_a_folder_gives_what_is_asked_for(tmp_path: Path) -> None:
    source = folder(tmp_path)
    with pytest.warns(UserWarning, match=r"bare\.xyz: has no normals, which are asked for"):
        dataset = PointClouds(source, tmp_path, num_points=30, features="normals")
    assert dataset.names == ("full", "one")
    assert dataset.feature_names == ("normals",)
    assert dataset.points.shape == dataset.features.shape == (2, 30, 3)
    torch.testing.assert_close(dataset.features.norm(dim=2), torch.ones(2, 30))
    ball = dataset[0]
    torch.testing.assert_close(ball.x, torch.nn.functional.normalize(ball.pos, dim=1))
    assert torch.equal(dataset[1].x, dataset.features[1])
    plain = PointClouds(source, tmp_path, num_points=30)  # no cache of the other
    assert plain.names == ("bare", "full", "one")
    assert torch.equal(plain.points[1:], dataset.points)
    assert "x" not in plain[0]
    with pytest.warns(UserWarning, match="1 of 3 shapes are left out"):
        again = PointClouds(source, tmp_path, num_points=30, features=["normals"])
    assert torch.equal(again.features, dataset.features)


@pytest.mark.parametrize("sampling", ["surface", "fps"])
def test_an_npz_has_them_as_arrays(tmp_path: Path, sampling: str) -> None:
    file = tmp_path / "a.npz"
    arrays = {"points": POINTS[None], "label": [0], "classes": ["ball"], "normals": NORMALS[None]}
    np.savez(file, **arrays, colors=(255 * COLORS[None]).astype(np.uint8))
    dataset = PointClouds(file, num_points=20, features="colors,normals", sampling=sampling)
    (item,) = dataset
    index = torch.cdist(item.pos, torch.tensor(POINTS).float()).argmin(dim=1)
    expected = torch.tensor(np.hstack([np.floor(255 * COLORS) / 255, NORMALS]))[index].float()
    torch.testing.assert_close(item.x, expected)
    with pytest.raises(DataError, match=r"a\.npz: has no intensity, .* it has normals and colors"):
        PointClouds(file, num_points=20, features="intensity")
    np.savez(file, **arrays, colors=COLORS)
    with pytest.raises(DataError, match=r"'colors' must be numbers of shape \[1, 50, 3\]"):
        PointClouds(file, num_points=20)


def test_archives_of_hdf5_have_normals(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py (extra mesh) is not installed")
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["data"], file["label"], file["normal"] = POINTS[None], [[0]], NORMALS[None]
    dataset = PointClouds(tmp_path / "train.h5", num_points=50, features="normals")
    torch.testing.assert_close(dataset.features[0], torch.tensor(NORMALS).float())


def test_furniture_has_the_normals_of_its_faces(tmp_path: Path) -> None:
    options = {"split": "test", "shapes_per_class": 1, "num_points": 32}
    plain, normals = Furniture10(**options), Furniture10(tmp_path, features="normals", **options)
    assert torch.equal(plain.points, normals.points)
    torch.testing.assert_close(normals.features.norm(dim=2), torch.ones(10, 32))
    assert torch.equal(
        Furniture10(tmp_path, features="normals", **options).features, normals.features
    )
    assert torch.equal(Furniture10(tmp_path, **options).points, plain.points)
    with pytest.raises(DataError, match="furniture10: has no colors"):
        open_dataset("furniture10", split="test", features="colors", shapes_per_class=1)


def test_samples_keep_points_and_features_together() -> None:
    cloud = PointCloud(POINTS, NORMALS)
    for sampling in ("surface", "fps"):
        found = sample_points(cloud, 10, sampling, 3, features=("normals",))
        np.testing.assert_allclose(
            found[:, 3:], found[:, :3] / np.linalg.norm(found[:, :3], axis=1, keepdims=True), 1e-5
        )
        np.testing.assert_array_equal(found[:, :3], sample_points(POINTS, 10, sampling, 3))
    mesh = furniture_mesh("chair", seed=1)
    with pytest.raises(DataError, match="Poisson disks have no features"):
        sample_points(mesh, 10, "poisson", features=("normals",))
