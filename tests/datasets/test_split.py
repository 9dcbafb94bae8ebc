from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mgic_geo.datasets import novel_split, train_val_split
from mgic_geo.datasets._novel import distance_to_nearest
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


def family(seed: int, count: int, near: float) -> torch.Tensor:
    """Clouds that differ by noise of this size alone."""
    generator = torch.Generator().manual_seed(seed)
    shape = torch.rand(1, 40, 3, generator=generator) - 0.5
    return shape + near * torch.rand(count, 40, 3, generator=generator)


def test_novel_shapes_of_a_block_of_names() -> None:
    # ten shapes of one family, and two that nothing is like in the second block of names
    points = family(0, 10, 0.01)
    points[2], points[3] = family(1, 1, 0.01)[0], family(2, 1, 0.01)[0]
    labels, names = torch.zeros(10, dtype=torch.int64), [f"a_{i}" for i in range(10)]
    order = torch.randperm(10, generator=torch.Generator().manual_seed(3)).tolist()
    moved = [names[i] for i in order]
    train, judged = novel_split(points[order], labels, moved, fold=0, folds=2, share=0.4)
    assert sorted(moved[i] for i in train) == names[5:]
    assert sorted(moved[i] for i in judged) == ["a_2", "a_3"]


def test_every_shape_is_held_out_once() -> None:
    points, labels = torch.rand(23, 40, 3) - 0.5, torch.tensor([0] * 13 + [1] * 9 + [2])
    names = [f"{i:02d}" for i in range(23)]
    held: list[int] = []
    for fold in range(5):
        train, judged = novel_split(points, labels, names, fold, share=1.0)
        assert sorted([*train.tolist(), *judged.tolist()]) == list(range(23))
        held += judged.tolist()
        kept, novel = novel_split(points, labels, names, fold)
        assert torch.equal(kept, train)
        assert set(novel.tolist()) <= set(judged.tolist())
    assert sorted(held) == list(range(23))


def test_distance_of_clouds() -> None:
    x, y = torch.rand(3, 30, 3) - 0.5, torch.rand(5, 30, 3) - 0.5
    apart = torch.stack([torch.stack([torch.cdist(a, b) for b in y]) for a in x])
    both = (apart.amin(dim=3).mean(dim=2) + apart.amin(dim=2).mean(dim=2)) / 2.0
    found = distance_to_nearest(x, y)
    assert (found >= both.amin(dim=1) - 1e-6).all()
    torch.testing.assert_close(distance_to_nearest(x, y[:4]), both[:, :4].amin(dim=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 5}, "fold = 5: with folds = 5 it must be in"),
        ({"folds": 1}, "folds = 1"),
        ({"share": 0.0}, "share = 0.0"),
        ({"names": ["a"]}, "2 clouds, 2 labels and 1 names"),
    ],
    ids=str,
)
def test_wrong_folds(options: dict[str, Any], message: str) -> None:
    arguments = {"points": torch.rand(2, 4, 3), "labels": torch.zeros(2), "names": ["a", "b"]}
    with pytest.raises(ValueError, match=message):
        novel_split(**{**arguments, **options})
