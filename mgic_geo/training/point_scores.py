"""What an evaluation says of classified points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mgic_geo.training.metrics import by_class
from mgic_geo.training.scores import Scores


@dataclass(frozen=True)
class PointScores(Scores):
    r"""Figures of classified points: mean intersection over union by class and by shape.

    That of the classes, over all points at once, chooses the epoch. That of the shapes is the
    *instance mean IoU* of ShapeNet-Part: the mean over a shape's parts first, then over the shapes,
    so that a small part of a shape counts as much as a large one; see :func:`shape_iou`.

    Args:
        matrix: Counts of predictions.
        loss: Mean cross-entropy, in nats.
        shape_ious: Mean intersection over union of each shape, ``[M]``; NaN for one without labels.
        category: Category of each shape, int64 ``[M]``.
        categories: Names of the categories.

    Example:
        >>> import torch
        >>> from mgic_geo.training import ConfusionMatrix, PointScores
        >>> matrix = ConfusionMatrix(num_classes=2)
        >>> matrix.update(predicted=torch.tensor([0, 1, 1, 1]), target=torch.tensor([0, 0, 1, 1]))
        >>> ious, category = torch.tensor([0.5, 1.0]), torch.tensor([0, 1])
        >>> scores = PointScores(matrix, 0.6, ious, category, categories=("chair", "table"))
        >>> {name: round(value, 4) for name, value in scores.figures.items()}
        {'mean_iou': 0.5833, 'shape_iou': 0.75, 'accuracy': 0.75}
    """

    shape_ious: Tensor
    category: Tensor
    categories: tuple[str, ...]

    chooses = "mean_iou"
    names: ClassVar[dict[str, tuple[str, str]]] = {
        "mean_iou": ("mean IoU", "mean IoU"),
        "shape_iou": ("of shapes", "mean IoU of shapes"),
        "accuracy": ("points", "point accuracy"),
    }

    @property
    def figures(self) -> dict[str, float]:
        return {
            "mean_iou": self.matrix.mean_iou,
            "shape_iou": float(self.shape_ious.nanmean()),
            "accuracy": self.matrix.accuracy,
        }

    @property
    def per_category(self) -> Tensor:
        """Mean of the shapes' figures over each category, ``[K]``; NaN for one without shapes."""
        means = [
            self.shape_ious[self.category == number].nanmean()
            for number in range(len(self.categories))
        ]
        return torch.stack(means) if means else self.shape_ious.new_zeros(0)

    def summary(self, classes: tuple[str, ...]) -> dict[str, Any]:
        summary = self.matrix.summary(classes)
        points = summary.pop("num_shapes")
        per_category = self.per_category
        return {
            "mean_iou": round(self.matrix.mean_iou, 6),
            "shape_iou": round(float(self.shape_ious.nanmean()), 6),
            "category_iou": round(float(per_category.nanmean()), 6),
            "per_class_iou": by_class(self.matrix.iou(), classes),
            "per_category_iou": by_class(per_category, self.categories),
            **summary,
            "counted_points": points,
            "num_shapes": len(self.shape_ious),
        }


def shape_iou(
    predicted: Tensor, target: Tensor, num_classes: int, allowed: Tensor | None = None
) -> Tensor:
    r"""Mean intersection over union of one shape over its parts.

    Args:
        predicted: Predicted class of each point, ``[n]``.
        target: True class, ``[n]``.
        num_classes: Number of classes.
        allowed: The classes that are counted, bool ``[C]``; one that neither occurs nor is
            predicted counts as 1, as in ShapeNet-Part. Without it those count that occur or are
            predicted.

    Returns:
        The mean, a scalar; NaN for no points.

    Example:
        >>> import torch
        >>> from mgic_geo.training import shape_iou
        >>> predicted, target = torch.tensor([0, 1, 1, 1]), torch.tensor([0, 0, 1, 1])
        >>> round(float(shape_iou(predicted, target, num_classes=3)), 4)  # (1/2 + 2/3) / 2
        0.5833
        >>> allowed = torch.tensor([True, True, True])  # the third is absent from both: 1
        >>> round(float(shape_iou(predicted, target, 3, allowed)), 4)
        0.7222
    """
    if not target.numel():
        return torch.tensor(float("nan"))
    of_target = torch.bincount(target, minlength=num_classes)
    of_predicted = torch.bincount(predicted, minlength=num_classes)
    both = torch.bincount(target[predicted == target], minlength=num_classes)
    union = of_target + of_predicted - both
    if allowed is None:
        return (both / union)[union > 0].mean()
    iou = torch.where(union > 0, both / union.clamp_min(1), 1.0)
    return iou[allowed].mean()
