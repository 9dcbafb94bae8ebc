"""Training and figures of networks that give points a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mgic_geo.datasets.furniture.dataset import PER_CLASS
from mgic_geo.errors import DataError, MgicGeoError
from mgic_geo.models import read_weights_info
from mgic_geo.training import (
    AugmentConfig,
    PointLabels,
    PointScores,
    Splits,
    TrainConfig,
    evaluate_points,
    make_splits,
    shape_iou,
    train,
)
from mgic_geo.training.tasks import PointTask, make_task
from mgic_geo.transforms import normalize_sphere

Config = Callable[..., TrainConfig]
SEG = "mgic_diffgcn_seg"
CPU = torch.device("cpu")


def tables(count: int, seed: int, free: bool = False) -> PointLabels:
    """A plate on a stem; some points may be of no class."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.rand(count, 64, 3, generator=generator) - 0.5
    part = torch.arange(64).expand(count, 64) % 2
    pos[..., 2] = torch.where(part == 1, 1.0 + 0.05 * pos[..., 2], 2.0 * pos[..., 2])
    pos[..., :2] *= torch.where(part == 1, 2.0, 0.1)[..., None]
    part = part.clone()
    if free:
        part[:, :8] = -1
    category = torch.arange(count) % 2
    return PointLabels(normalize_sphere(pos), category, part, ("low", "high"))


@pytest.fixture
def splits() -> Splits[PointLabels]:
    return Splits(tables(16, 0, free=True), tables(6, 1), None, ("leg", "top"))


def test_it_learns(config: Config, splits: Splits[PointLabels]) -> None:
    result = train(config(model=SEG, epochs=10, batch_size=4, lr=1e-2), splits)
    assert isinstance(result.scores, PointScores)
    assert result.summary["validation"]["mean_iou"] > 0.9
    assert result.summary["validation"]["num_shapes"] == 6
    assert result.summary["validation"]["counted_points"] == 6 * 64
    info = read_weights_info(result.run.path / "best.safetensors")
    assert (info.task, info.data, info.classes) == (
        "point_segmentation",
        "point_labels",
        ("leg", "top"),
    )
    header = (result.run.path / "metrics.csv").read_text().partition("\n")[0]
    assert "val_mean_iou,val_shape_iou,val_accuracy" in header


def test_resumed_run_equals_an_uninterrupted_one(
    config: Config, splits: Splits[PointLabels], tmp_path: Path
) -> None:
    whole = config(model=SEG, epochs=2, out=str(tmp_path / "whole"))
    train(whole, splits)
    parts = replace(whole, out=str(tmp_path / "parts"))
    train(replace(parts, stop_after=1), splits)
    torch.manual_seed(99)
    train(replace(parts, resume=True), splits)
    one, two = (load_file(tmp_path / run / "last.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(one[key], two[key]) for key in one | two)


def test_labels_go_where_their_points_go(config: Config) -> None:
    clouds = tables(4, 0)
    # the label as a feature, too: whatever happens to the order, both must agree
    pos = torch.cat([clouds.pos, clouds.point_label[..., None].float()], dim=2)
    splits = Splits(replace(clouds, pos=pos), None, None, ("leg", "top"))
    augment = AugmentConfig(
        drop=0.6, drop_min=0.4, rotate_degrees=90.0, view=0.5, noise=0.1, center=1.0, deform=1.0
    )
    settings = config(model=SEG, features="intensity", augment=augment)
    task = make_task(settings, splits, CPU)
    assert isinstance(task, PointTask)
    generator = torch.Generator().manual_seed(0)
    inputs, target = task.batch((pos, clouds.point_label), generator)
    assert inputs.shape[:2] == target.shape
    assert 0.4 * 64 <= target.size(1) <= 0.6 * 64 + 1
    assert torch.equal(inputs[..., 3].long(), target)


def test_points_without_a_class_count_nowhere(config: Config) -> None:
    splits = Splits(tables(4, 0, free=True), None, None, ("leg", "top"))
    task = make_task(config(model=SEG), splits, CPU)
    target = splits.train.point_label
    logits = torch.randn(4, 64, 2, generator=torch.Generator().manual_seed(0))
    other = logits.clone()
    other[target == -1] += 100.0
    assert task.loss(logits, target) == task.loss(other, target)
    right, count = task.tally(logits, target)
    assert (int(count), task.tally(other, target)[0]) == (4 * 56, right)
    nothing = torch.full_like(target, -1)
    assert float(task.loss(logits, nothing)) == 0.0


class Fixed(nn.Module):
    """Answers with what it was given, whatever the cloud."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits, self.place = logits, 0

    def forward(self, pos: Tensor) -> Tensor:
        self.place += len(pos)
        return self.logits[self.place - len(pos) : self.place]


def test_figures() -> None:
    label = torch.tensor([[0, 0, 1, 1], [2, 2, 2, 3], [0, 1, 1, -1]])
    predicted = torch.tensor([[0, 1, 1, 1], [2, 2, 2, 1], [0, 1, 1, 3]])
    allowed = torch.tensor([[True, True, False, False], [False, False, True, True]])
    clouds = PointLabels(torch.rand(3, 4, 3), torch.tensor([0, 1, 0]), label, ("a", "b"))
    logits = nn.functional.one_hot(predicted, 4).float()
    scores = evaluate_points(Fixed(logits), clouds, 4)
    torch.testing.assert_close(
        scores.shape_ious, torch.tensor([(1 / 2 + 2 / 3) / 2, (1 + 0 + 0) / 3, 1.0])
    )
    assert scores.figures["accuracy"] == pytest.approx(9 / 11)
    assert scores.per_category.tolist() == pytest.approx([(0.583333 + 1) / 2, 1 / 3])
    summary = scores.summary(("p", "q", "r", "s"))
    assert summary["category_iou"] == pytest.approx((0.791667 + 1 / 3) / 2, abs=1e-5)
    assert summary["per_class_iou"]["r"] == 1.0
    # a category that is known: 1 is no answer for the second, and the last of its two is as likely
    known = evaluate_points(Fixed(logits), replace(clouds, allowed=allowed), 4)
    assert known.shape_ious[1] == pytest.approx((3 / 4 + 0) / 2)
    assert shape_iou(label[0], label[0], 4, torch.tensor([True, True, True, False])) == 1.0
    empty = PointLabels(clouds.pos, clouds.label, torch.full_like(label, -1), ("a", "b"))
    with pytest.raises(DataError, match="none of the points to evaluate on has a class"):
        evaluate_points(Fixed(logits), empty, 4)


def test_class_balance_counts_points(config: Config) -> None:
    clouds = tables(4, 0, free=True)
    few = torch.where(clouds.point_label == 1, 0, clouds.point_label)
    few[:, 63] = 1
    splits = Splits(replace(clouds, point_label=few), None, None, ("leg", "top"))
    task = make_task(config(model=SEG, class_balance=1.0), splits, CPU)
    assert task.weight is not None
    assert float(task.weight[1] / task.weight[0]) == pytest.approx(55.0)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Furniture-10 of a moment."""
    for split, count in (("train", 8), ("test", 1)):
        monkeypatch.setitem(PER_CLASS, split, count)


@pytest.mark.usefixtures("few")
def test_refusals(config: Config, splits: Splits[PointLabels]) -> None:
    for name in ("cut_mix", "rigid_mix", "clusters", "outliers"):
        with pytest.raises(MgicGeoError, match=rf"augment.{name} makes points that no label"):
            make_task(config(model=SEG, augment=AugmentConfig(**{name: 0.5})), splits, CPU)
    options: dict[str, Any] = {"data": "furniture10-parts", "num_points": 16, "per_class": 1}
    with pytest.raises(MgicGeoError, match="furniture10-parts holds point clouds with a"):
        make_splits(config(**options))
    with pytest.raises(MgicGeoError, match="choose one of dgcnn"):
        make_splits(config(data="furniture10", model=SEG))
    with pytest.raises(MgicGeoError, match="fold is for point clouds"):
        make_splits(config(**options, model=SEG, fold=0))


@pytest.mark.usefixtures("few")
def test_furniture_by_name(config: Config) -> None:
    parts = make_splits(config(data="furniture10-parts", model=SEG, num_points=8, per_class=2))
    assert isinstance(parts.train, PointLabels)
    assert (len(parts.train), len(parts.val), len(parts.test)) == (20, 10, 10)
    assert len(parts.classes) == 13
