"""Accuracy and overlap from a confusion matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mgic_geo.errors import DataError


class ConfusionMatrix:
    """Counts of predictions: row = true class, column = predicted class.

    Args:
        num_classes: Number of classes.
        ignore_index: True class that is left out, whatever was predicted.

    Example:
        >>> import torch
        >>> from mgic_geo.training import ConfusionMatrix
        >>> matrix = ConfusionMatrix(num_classes=2, ignore_index=255)
        >>> matrix.update(predicted=torch.tensor([0, 1, 1]), target=torch.tensor([0, 0, 255]))
        >>> matrix.matrix.tolist(), matrix.accuracy
        ([[1, 1], [0, 0]], 0.5)
    """

    def __init__(self, num_classes: int, ignore_index: int | None = None) -> None:
        self.matrix = torch.zeros(num_classes, num_classes, dtype=torch.long)
        self.ignore_index = ignore_index

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Adds predicted and true classes, of equal shape, such as ``[B]`` or ``[B, H, W]``.

        Raises:
            DataError: A true class that there is not.
        """
        classes = self.matrix.size(0)
        predicted, target = predicted.flatten(), target.flatten().long()
        if self.ignore_index is not None:
            counted = target != self.ignore_index
            predicted, target = predicted[counted], target[counted]
        if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < classes:
            wrong = target[(target < 0) | (target >= classes)][0]
            raise DataError(f"class {int(wrong)} is none of the {classes} classes")
        cell = target * classes + predicted
        counts = torch.bincount(cell, minlength=classes**2).view(classes, classes)
        self.matrix += counts.cpu()

    @property
    def accuracy(self) -> float:
        """Share of right predictions."""
        return float(self.matrix.diag().sum() / self.matrix.sum().clamp_min(1))

    def per_class(self) -> Tensor:
        """Recall of each class; NaN for a class that does not occur."""
        return self.matrix.diag() / self.matrix.sum(dim=1)

    @property
    def mean_class_accuracy(self) -> float:
        """Mean recall over the classes that occur."""
        return float(self.per_class().nanmean())

    def iou(self) -> Tensor:
        r"""Intersection over union of each class, from its diagonal element, row and column.

        .. math::
            n_{cc} / (n_{c\cdot} + n_{\cdot c} - n_{cc})

        NaN for a class that neither occurs nor is predicted.
        """
        both = self.matrix.diag()
        return both / (self.matrix.sum(dim=1) + self.matrix.sum(dim=0) - both)

    @property
    def mean_iou(self) -> float:
        """Mean intersection over union of the classes that occur or are predicted."""
        return float(self.iou().nanmean())

    def summary(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """All figures as plain numbers, for JSON; None for a class that does not occur."""
        return {
            "accuracy": round(self.accuracy, 6),
            "mean_class_accuracy": round(self.mean_class_accuracy, 6),
            "per_class_accuracy": by_class(self.per_class(), classes),
            "confusion_matrix": self.matrix.tolist(),
            "classes": list(classes),
            "num_shapes": int(self.matrix.sum()),
        }


def by_class(values: Tensor, classes: tuple[str, ...]) -> dict[str, float | None]:
    """Figures ``[C]`` by the names of their classes, as plain numbers; None for NaN."""
    plain = (None if value != value else round(value, 6) for value in values.tolist())
    return dict(zip(classes, plain, strict=True))
