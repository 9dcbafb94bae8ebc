from __future__ import annotations

import pytest
import torch

from mgic_geo.training import ConfusionMatrix


def test_figures_of_a_small_matrix() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(torch.tensor([0, 0, 1]), torch.tensor([0, 0, 0]))
    matrix.update(torch.tensor([1]), torch.tensor([1]))
    assert matrix.matrix.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert matrix.accuracy == pytest.approx(3 / 4)
    # the class that does not occur counts neither for nor against
    assert matrix.mean_class_accuracy == pytest.approx((2 / 3 + 1) / 2)
    summary = matrix.summary(("a", "b", "c"))
    assert summary["per_class_accuracy"] == {"a": 0.666667, "b": 1.0, "c": None}
    assert summary["num_shapes"] == 4


def test_equals_plain_counting() -> None:
    predicted, target = torch.randint(0, 5, (2, 200))
    matrix = ConfusionMatrix(5)
    for part in torch.arange(200).split(33):
        matrix.update(predicted[part], target[part])
    expected = [[int(((target == i) & (predicted == j)).sum()) for j in range(5)] for i in range(5)]
    assert matrix.matrix.tolist() == expected
