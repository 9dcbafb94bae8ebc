"""Accuracy from a confusion matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ConfusionMatrix:
    """Counts of predictions: row = true class, column = predicted class.

    Args:
        num_classes: Number of classes.
    """

    def __init__(self, num_classes: int) -> None:
        self.matrix = torch.zeros(num_classes, num_classes, dtype=torch.long)

    def update(self, predicted: Tensor, target: Tensor) -> None:
        """Adds predicted and true classes, each ``[B]``."""
        classes = self.matrix.size(0)
        cell = (target * classes + predicted).cpu()
        self.matrix += torch.bincount(cell, minlength=classes**2).view(classes, classes)

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

    def summary(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """All figures as plain numbers, for JSON; None for a class that does not occur."""
        recall = [None if r != r else round(r, 6) for r in self.per_class().tolist()]
        return {
            "accuracy": round(self.accuracy, 6),
            "mean_class_accuracy": round(self.mean_class_accuracy, 6),
            "per_class_accuracy": dict(zip(classes, recall, strict=True)),
            "confusion_matrix": self.matrix.tolist(),
            "classes": list(classes),
            "num_shapes": int(self.matrix.sum()),
        }
