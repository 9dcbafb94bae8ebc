from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mgic_geo.datasets import train_val_split
from mgic_geo.io import load_clouds_npz


def test_the_last_eighth_of_each_class_by_name() -> None:
    names = [f"a_{i:02d}" for i in range(17)] + [f"b_{i}" for i in range(3)] + ["c_0"]
    labels = [0] * 17 + [1] * 3 + [2]
    order = torch.randperm(21, generator=torch.Generator().manual_seed(0)).tolist()
    train, validation = train_val_split([labels[i] for i in order], [names[i] for i in order])
    assert sorted(names[order[i]] for i in validation) == ["a_15", "a_16", "b_2"]
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(21))
    assert train.dtype == validation.dtype == torch.int64


def test_images_without_labels_are_one_class() -> None:
    names = [f"scene_{i}" for i in (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)]
    train, validation = train_val_split(None, names, 0.2)
    assert [names[i] for i in validation] == ["scene_9", "scene_8"]
    assert len(train) == 8


def test_nothing_aside() -> None:
    train, validation = train_val_split([0, 0, 1], ["a", "b", "c"], fraction=0)
    assert train.tolist() == [0, 1, 2]
    assert validation.tolist() == []


@pytest.mark.parametrize(("labels", "fraction"), [([0, 1], 1.0), ([0, 1], -0.1), ([0], 0.5)])
def test_wrong_arguments(labels: list[int], fraction: float) -> None:
    with pytest.raises(ValueError, match=r"fraction must be|labels, but"):
        train_val_split(labels, ["a", "b"], fraction)


def test_modelnet10_part(shared_data: Path) -> None:
    clouds = load_clouds_npz(shared_data / "modelnet10_train.npz")
    train, validation = train_val_split(torch.from_numpy(clouds.label), clouds.name)
    counts = torch.bincount(torch.from_numpy(clouds.label)[validation])
    assert counts.tolist() == [n // 8 for n in (106, 515, 889, 200, 200, 465, 200, 680, 392, 344)]
    assert len(train) + len(validation) == 3991
