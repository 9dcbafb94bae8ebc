"""What an evaluation says, for each of the tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from mgic_geo.training.metrics import ConfusionMatrix, by_class

_LARGEST = 100  # classes whose confusion matrix is written out


@dataclass(frozen=True)
class Scores(ABC):
    """The figures of one evaluation.

    Args:
        matrix: Counts of predictions.
        loss: Mean cross-entropy, in nats.

    Attributes:
        chooses: The figure that chooses the epoch.
        names: A short and a long name of each figure.

    Example:
        Each task has its own figures, here those of clouds.

        >>> import torch
        >>> from mgic_geo.training import ConfusionMatrix, CloudScores
        >>> matrix = ConfusionMatrix(num_classes=2)
        >>> matrix.update(predicted=torch.tensor([0, 1, 1, 1]), target=torch.tensor([0, 0, 1, 1]))
        >>> scores = CloudScores(matrix, loss=0.5)
        >>> scores.row()  # what a line of metrics.csv holds
        {'val_loss': 0.5, 'val_accuracy': 0.75, 'val_mean_class_accuracy': 0.75}
        >>> CloudScores.describe(scores.summary(("chair", "sofa")))
        'accuracy 75.00 %, mean class accuracy 75.00 %'
    """

    matrix: ConfusionMatrix
    loss: float

    chooses: ClassVar[str]
    names: ClassVar[dict[str, tuple[str, str]]]

    @property
    @abstractmethod
    def figures(self) -> dict[str, float]:
        """Shares in [0, 1] by name, the most important first."""

    @property
    def score(self) -> float:
        """Chooses the epoch: higher is better."""
        return self.figures[self.chooses]

    def row(self) -> dict[str, float]:
        """Columns of ``metrics.csv``."""
        values = {"loss": self.loss, **self.figures}
        return {f"val_{name}": round(value, 6) for name, value in values.items()}

    @abstractmethod
    def summary(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """All figures as plain numbers, for JSON; None for a class that does not occur."""

    @classmethod
    def columns(cls) -> list[str]:
        """The names in :meth:`row`, in order."""
        return ["val_loss", *(f"val_{name}" for name in cls.names)]

    @classmethod
    def describe(cls, summary: dict[str, Any], short: bool = False) -> str:
        """A line of the figures in a :meth:`summary` or a row without its ``val_``."""
        texts = (
            f"{names[0] if short else names[1]} {100.0 * summary[figure]:.2f} %"
            for figure, names in cls.names.items()
        )
        return ", ".join(text.strip() for text in texts)


class CloudScores(Scores):
    """Figures of classified clouds: accuracy, and its mean over the classes.

    The mean over the classes chooses the epoch.

    Args:
        matrix: Counts of predictions.
        loss: Mean cross-entropy, in nats.

    Example:
        >>> import torch
        >>> from mgic_geo.training import CloudScores, ConfusionMatrix
        >>> matrix = ConfusionMatrix(num_classes=2)
        >>> matrix.update(predicted=torch.tensor([0, 0, 0, 0]), target=torch.tensor([0, 0, 0, 1]))
        >>> CloudScores(matrix, loss=0.6).figures  # three of four; all and none of a class
        {'accuracy': 0.75, 'mean_class_accuracy': 0.5}
    """

    chooses = "mean_class_accuracy"
    names: ClassVar[dict[str, tuple[str, str]]] = {
        "accuracy": ("", "accuracy"),
        "mean_class_accuracy": ("mean class", "mean class accuracy"),
    }

    @property
    def figures(self) -> dict[str, float]:
        return {
            "accuracy": self.matrix.accuracy,
            "mean_class_accuracy": self.matrix.mean_class_accuracy,
        }

    def summary(self, classes: tuple[str, ...]) -> dict[str, Any]:
        return self.matrix.summary(classes)


@dataclass(frozen=True)
class ImageScores(Scores):
    """Figures of classified images: top-1 accuracy, which chooses the epoch, and top-5.

    Args:
        matrix: Counts of predictions.
        loss: Mean cross-entropy, in nats.
        top5: Share of images whose class is among the five most likely ones, or among all classes
            where there are fewer.

    Example:
        >>> import torch
        >>> from mgic_geo.training import ConfusionMatrix, ImageScores
        >>> matrix = ConfusionMatrix(num_classes=2)
        >>> matrix.update(predicted=torch.tensor([0, 1, 1, 1]), target=torch.tensor([0, 0, 1, 1]))
        >>> ImageScores(matrix, loss=0.6, top5=1.0).figures
        {'accuracy': 0.75, 'top5_accuracy': 1.0, 'mean_class_accuracy': 0.75}
    """

    top5: float

    chooses = "accuracy"
    names: ClassVar[dict[str, tuple[str, str]]] = {
        "accuracy": ("top-1", "top-1 accuracy"),
        "top5_accuracy": ("top-5", "top-5 accuracy"),
        "mean_class_accuracy": ("mean class", "mean class accuracy"),
    }

    @property
    def figures(self) -> dict[str, float]:
        return {
            "accuracy": self.matrix.accuracy,
            "top5_accuracy": self.top5,
            "mean_class_accuracy": self.matrix.mean_class_accuracy,
        }

    def summary(self, classes: tuple[str, ...]) -> dict[str, Any]:
        summary = self.matrix.summary(classes)
        if len(classes) > _LARGEST:
            del summary["confusion_matrix"]
        summary["num_images"] = summary.pop("num_shapes")
        return {"accuracy": summary["accuracy"], "top5_accuracy": round(self.top5, 6), **summary}


@dataclass(frozen=True)
class SegmentationScores(Scores):
    """Figures of classified pixels: mean intersection over union, which chooses the epoch.

    Args:
        matrix: Counts of predictions.
        loss: Mean cross-entropy, in nats.
        num_images: Number of images.

    Example:
        >>> import torch
        >>> from mgic_geo.training import ConfusionMatrix, SegmentationScores
        >>> matrix = ConfusionMatrix(num_classes=2)
        >>> matrix.update(predicted=torch.tensor([0, 1, 1, 1]), target=torch.tensor([0, 0, 1, 1]))
        >>> scores = SegmentationScores(matrix, loss=0.6, num_images=1)
        >>> round(scores.score, 4)  # (1/2 + 2/3) / 2
        0.5833
    """

    num_images: int

    chooses = "mean_iou"
    names: ClassVar[dict[str, tuple[str, str]]] = {
        "mean_iou": ("mean IoU", "mean IoU"),
        "accuracy": ("pixels", "pixel accuracy"),
        "mean_class_accuracy": ("mean class", "mean class accuracy"),
    }

    @property
    def figures(self) -> dict[str, float]:
        return {
            "mean_iou": self.matrix.mean_iou,
            "accuracy": self.matrix.accuracy,
            "mean_class_accuracy": self.matrix.mean_class_accuracy,
        }

    def summary(self, classes: tuple[str, ...]) -> dict[str, Any]:
        summary = self.matrix.summary(classes)
        pixels = summary.pop("num_shapes")
        return {
            "mean_iou": round(self.matrix.mean_iou, 6),
            "per_class_iou": by_class(self.matrix.iou(), classes),
            **summary,
            "num_pixels": pixels,
            "num_images": self.num_images,
        }
