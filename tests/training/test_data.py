from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from mgic_geo.datasets import open_dataset
from mgic_geo.errors import DataError
from mgic_geo.training import AugmentConfig, TrainConfig, augment, make_splits

OFF = {field.name: 0.0 for field in fields(AugmentConfig)}


def draw(config: AugmentConfig, seed: int = 0) -> torch.Tensor:
    pos = torch.rand(4, 50, 3, generator=torch.Generator().manual_seed(9))
    return augment(pos, config, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["scale", "shift", "rotate_degrees", "flip", "jitter"])
def test_each_change_keeps_the_shape_and_follows_the_seed(name: str) -> None:
    config = AugmentConfig(**{**OFF, name: 0.5})
    one = draw(config)
    assert one.shape == (4, 50, 3)
    assert torch.equal(one, draw(config))
    assert not torch.equal(one, draw(config, seed=1))
    assert not torch.equal(one, draw(AugmentConfig(**OFF)))


def test_everything_off_changes_nothing() -> None:
    assert torch.equal(draw(AugmentConfig(**OFF)), draw(AugmentConfig(**OFF), seed=5))


def test_dropping_keeps_points_of_the_cloud_and_at_most_the_share() -> None:
    config = AugmentConfig(**{**OFF, "drop": 0.5})
    whole = draw(AugmentConfig(**OFF))
    sizes = set()
    for seed in range(8):
        kept = draw(config, seed)
        sizes.add(kept.size(1))
        own = (kept[:, :, None] == whole[:, None]).all(-1)
        assert bool(own.any(-1).all())  # each is a point of its own cloud
        assert int(own.sum(1).max()) == 1  # and none comes twice
    assert min(sizes) >= 25
    assert max(sizes) <= 50
    assert len(sizes) > 1


def test_a_least_share_is_always_dropped() -> None:
    config = AugmentConfig(**{**OFF, "drop": 0.8, "drop_min": 0.6})
    sizes = {draw(config, seed).size(1) for seed in range(30)}
    assert (min(sizes), max(sizes)) == (10, 20)


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "set.npz"
    rng = np.random.default_rng(0)
    names = [f"{c}_{i:02d}" for c in "ab" for i in rng.permutation(8)]
    points, label = rng.normal(size=(16, 64, 3)), np.repeat([0, 1], 8)
    np.savez(path, points=points, label=label, classes=["a", "b"], name=names)
    return path


def test_validation_part_is_the_last_of_each_class_by_name(npz: Path, tmp_path: Path) -> None:
    config = TrainConfig(data=str(npz), root=str(tmp_path), num_points=64, val_fraction=0.25, k=6)
    splits = make_splits(config)
    assert splits.val is not None
    assert (len(splits.train), len(splits.val), splits.test) == (12, 4, None)
    data = open_dataset(str(npz), tmp_path, num_points=64)
    last = [i for i, name in enumerate(data.names) if int(name[2:]) >= 6]
    assert splits.val.label.tolist() == data.labels[last].tolist()
    norms = splits.val.pos.norm(dim=-1).amax(dim=1)
    torch.testing.assert_close(norms, torch.ones(4))
    everything = make_splits(
        TrainConfig(data=str(npz), root=str(tmp_path), num_points=64, val_fraction=0.0, k=6)
    )
    assert (len(everything.train), everything.val) == (16, None)


def test_a_fold_is_judged_by_what_it_trains_on_least(npz: Path, tmp_path: Path) -> None:
    config = TrainConfig(data=str(npz), root=str(tmp_path), num_points=64, fold=4, k=6)
    splits = make_splits(config)
    assert splits.val is not None
    # of eight shapes a class the last two by name are held out, and one of them is judged
    assert (len(splits.train), len(splits.val)) == (12, 2)
    assert splits.val.label.tolist() == [0, 1]


def test_a_fold_of_too_few_shapes(npz: Path, tmp_path: Path) -> None:
    with np.load(npz) as arrays:
        few = {name: a if name == "classes" else a[[0, 1, 8, 9]] for name, a in arrays.items()}
    np.savez(npz, **few)
    config = TrainConfig(data=str(npz), root=str(tmp_path), num_points=64, fold=0, k=6)
    with pytest.raises(DataError, match=r"fold 0 of .* is empty: its classes have fewer than 5"):
        make_splits(config)


def test_unknown_data_set() -> None:
    with pytest.raises(DataError, match="no data set 'nothing'"):
        open_dataset("nothing")
