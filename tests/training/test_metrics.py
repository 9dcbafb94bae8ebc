from __future__ import annotations

import pytest
import torch

from mgic_geo.errors import DataError
from mgic_geo.training import CloudScores, ConfusionMatrix, ImageScores, SegmentationScores


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


def test_overlap_by_hand() -> None:
    matrix = ConfusionMatrix(4, ignore_index=9)
    target = torch.tensor([[0, 0, 0, 0], [1, 1, 9, 9]])
    predicted = torch.tensor([[0, 0, 0, 1], [1, 2, 3, 0]])
    matrix.update(predicted, target)
    assert int(matrix.matrix.sum()) == 6  # the two without a class count nowhere
    # class 2 does not occur, but was predicted; class 3 neither
    assert matrix.iou().tolist() == pytest.approx([3 / 4, 1 / 3, 0.0, float("nan")], nan_ok=True)
    assert matrix.mean_iou == pytest.approx((3 / 4 + 1 / 3 + 0.0) / 3)
    assert matrix.accuracy == pytest.approx(4 / 6)


def test_classes_that_there_are_not() -> None:
    matrix = ConfusionMatrix(3)
    with pytest.raises(DataError, match="class 255 is none of the 3 classes"):
        matrix.update(torch.tensor([0, 1]), torch.tensor([0, 255]))


def test_scores_describe_themselves() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 1]))
    names = ("a", "b")
    clouds, pixels = CloudScores(matrix, 0.5), SegmentationScores(matrix, 0.5, 2)
    images = ImageScores(matrix, 0.5, 1.0)
    assert clouds.score == pytest.approx((2 / 3 + 1) / 2)
    assert images.score == pytest.approx(3 / 4)
    assert pixels.score == pytest.approx((2 / 3 + 1 / 2) / 2)
    for scores in (clouds, images, pixels):
        assert list(scores.row()) == type(scores).columns()
        assert scores.row()[f"val_{scores.chooses}"] == pytest.approx(scores.score, abs=1e-6)
    assert clouds.describe(clouds.figures, short=True) == "75.00 %, mean class 83.33 %"
    assert images.describe(images.summary(names)).startswith("top-1 accuracy 75.00 %, top-5")
    summary = pixels.summary(names)
    assert summary["per_class_iou"] == {"a": 0.666667, "b": 0.5}
    assert (summary["num_pixels"], summary["num_images"]) == (4, 2)
    assert "num_shapes" not in summary | images.summary(names)


def test_confusion_of_many_classes_is_not_written_out() -> None:
    scores = ImageScores(ConfusionMatrix(101), 0.0, 0.0)
    assert "confusion_matrix" not in scores.summary(tuple(map(str, range(101))))
