from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from mgic_geo.errors import DataError
from mgic_geo.models import create_model
from mgic_geo.training import Clouds, CorruptionScores, evaluate_corruptions
from mgic_geo.transforms.corruptions import MODELNET_C, corrupt


class ByCount(nn.Module):
    """Class 1 for a cloud of fewer than 1,024 points, class 2 for one of more, else class 0."""

    min_points = 1

    def forward(self, pos: Tensor, batch: Tensor) -> Tensor:
        counts = torch.bincount(batch)
        cell = (counts < 1024).long() + 2 * (counts > 1024).long()
        return nn.functional.one_hot(cell, 3).float()


def clouds(label: int, count: int = 3) -> Clouds:
    pos = torch.rand(count, 1024, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    return Clouds(pos, torch.full((count,), label))


def test_each_kind_is_applied_at_each_severity() -> None:
    kinds = ["jitter", "drop_local", "add_global"]
    for label in range(3):
        scores = evaluate_corruptions(ByCount(), clouds(label), kinds)
        assert scores.clean == float(label == 0)
        for i, kind in enumerate(kinds):
            assert scores.accuracy[kind] == [float(label == i)] * 5
            assert scores.overall(kind) == float(label == i)


def test_a_cloud_is_spoilt_by_its_own_seed_and_judged_alone() -> None:
    torch.manual_seed(0)
    model = create_model("dgcnn", num_classes=4, width=16, k=4).eval()
    pos = torch.rand(5, 64, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.no_grad():
        alone = [model(corrupt(p, "drop_local", 2, 7 + i)[None])[0] for i, p in enumerate(pos)]
    label = torch.stack(alone).argmax(dim=1)
    scores = evaluate_corruptions(model, Clouds(pos, label), ["drop_local"], seed=7)
    assert scores.accuracy["drop_local"][1] == 1.0


def test_too_few_points_are_an_error_of_the_network() -> None:
    model = create_model("mgic_pyramid", num_classes=2, width=16, k=4)
    pos = torch.rand(2, 40, 3) - 0.5
    scores = evaluate_corruptions(model, Clouds(pos, torch.zeros(2)), ["drop_global"])
    assert scores.accuracy["drop_global"][3:] == [0.0, 0.0]  # 13 and 10 points of 16


def test_corruption_errors() -> None:
    reference = CorruptionScores(0.9, {kind: [0.8, 0.6] for kind in MODELNET_C})
    half = CorruptionScores(0.9, {kind: [0.9, 0.8] for kind in MODELNET_C})
    assert half.corruption_error("scale", reference) == pytest.approx(0.5)
    assert half.mean_corruption_error(reference) == pytest.approx(0.5)
    assert reference.mean_corruption_error(reference) == pytest.approx(1.0)
    perfect = CorruptionScores(1.0, {"scale": [1.0, 1.0]})
    assert perfect.corruption_error("scale", perfect) == 1.0
    assert math.isinf(half.corruption_error("scale", perfect))
    with pytest.raises(DataError, match=r"not measured: jitter, .*rotate"):
        perfect.mean_corruption_error(reference)


def test_features_are_refused() -> None:
    with pytest.raises(DataError, match="features"):
        evaluate_corruptions(ByCount(), Clouds(torch.rand(2, 30, 6), torch.zeros(2)))
