"""Predictions for the points of many clouds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo.errors import DataError
from mgic_geo.training.evaluate import predict_logits
from mgic_geo.training.metrics import ConfusionMatrix
from mgic_geo.training.point_scores import PointScores, shape_iou

if TYPE_CHECKING:
    from mgic_geo.training.data import PointLabels

NO_CLASS = -1
"""Label of a point without a class."""
_BATCH = 32


@torch.no_grad()
def evaluate_points(
    model: nn.Module,
    clouds: PointLabels,
    num_classes: int,
    device: str | torch.device = "cpu",
) -> PointScores:
    """Mean intersection over union of a model on clouds whose points have classes.

    Where the data set says which classes a category has (``clouds.allowed``, as in ShapeNet-Part),
    the likeliest of those is the answer, and those alone count. Points without a class count
    nowhere.

    Args:
        model: Gives logits ``[B, n, C]`` of clouds ``[B, n, 3]``; it goes to evaluation mode.
        clouds: ``[M, n, 3]`` with a class for each point.
        num_classes: Number of classes :math:`C`.
        device: Where the model is.

    Returns:
        Intersection over union by class and by shape, accuracy, and the mean cross-entropy.

    Raises:
        DataError: No point has a class.

    Example:
        >>> import torch
        >>> from mgic_geo.models import create_model
        >>> from mgic_geo.training import PointLabels, evaluate_points
        >>> model = create_model("mgic_diffgcn_seg", num_classes=2, width=16, k=4)
        >>> part = torch.randint(2, (3, 32))
        >>> clouds = PointLabels(torch.rand(3, 32, 3) - 0.5, torch.zeros(3).long(), part, ("box",))
        >>> scores = evaluate_points(model, clouds, num_classes=2)
        >>> int(scores.matrix.matrix.sum()), scores.shape_ious.shape
        (96, torch.Size([3]))
    """
    matrix = ConfusionMatrix(num_classes, ignore_index=NO_CLASS)
    loss, ious = 0.0, []
    for index in torch.arange(len(clouds)).split(_BATCH):  # all logits at once may be gigabytes
        part = clouds.take(index)
        logits = predict_logits(model, part.pos, device)
        predicted, target = predict_points(logits, part), part.point_label
        matrix.update(predicted, target)
        flat = logits.flatten(0, 1), target.flatten()
        loss += float(F.cross_entropy(*flat, ignore_index=NO_CLASS, reduction="sum"))
        for i, category in enumerate(part.label):
            counted = target[i] != NO_CLASS
            allowed = None if part.allowed is None else part.allowed[category]
            own = predicted[i][counted], target[i][counted]
            ious.append(shape_iou(*own, num_classes, allowed))
    points = int(matrix.matrix.sum())
    if not points:
        raise DataError("none of the points to evaluate on has a class")
    return PointScores(matrix, loss / points, torch.stack(ious), clouds.label, clouds.categories)


def predict_points(logits: Tensor, clouds: PointLabels) -> Tensor:
    """The likeliest class of each point, ``[M, n]``, of those that a category has.

    Args:
        logits: ``[M, n, C]``.
        clouds: What they are of.
    """
    if clouds.allowed is not None:
        barred = ~clouds.allowed[clouds.label]
        logits = logits.masked_fill(barred[:, None], float("-inf"))
    return logits.argmax(dim=-1)
