"""Predictions for many clouds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgic_geo.training.metrics import ConfusionMatrix

if TYPE_CHECKING:
    from mgic_geo.training.data import Clouds

_BATCH = 32


@torch.no_grad()
def predict_logits(model: nn.Module, pos: Tensor, device: str | torch.device = "cpu") -> Tensor:
    """Logits of many clouds, in batches; the model goes to evaluation mode.

    Args:
        model: Gives logits ``[B, C]`` of clouds ``[B, n, 3 + F]``.
        pos: Clouds ``[M, n, 3 + F]``, centred and scaled to the unit sphere.
        device: Where the model is.

    Returns:
        Logits ``[M, C]``, float32 on the CPU.

    Example:
        >>> import torch
        >>> from mgic_geo.models import load_model
        >>> from mgic_geo.training import predict_logits
        >>> model, info = load_model("modelnet10-mgic-diffgcn")
        >>> predict_logits(model, torch.rand(3, 64, 3) - 0.5).shape
        torch.Size([3, 10])
    """
    model.eval()
    return torch.cat([model(part.to(device)).float().cpu() for part in pos.split(_BATCH)])


def evaluate_clouds(
    model: nn.Module, clouds: Clouds, num_classes: int, device: str | torch.device = "cpu"
) -> tuple[ConfusionMatrix, float]:
    """The confusion matrix and the mean cross-entropy of a model on labelled clouds.

    Args:
        model: Gives logits ``[B, C]`` of clouds ``[B, n, 3]``; it goes to evaluation mode.
        clouds: ``[M, n, 3]`` with their labels.
        num_classes: Number of classes :math:`C`.
        device: Where the model is.

    Returns:
        Counts of predictions, and the mean cross-entropy in nats.

    Example:
        >>> import torch
        >>> from mgic_geo.models import load_model
        >>> from mgic_geo.training import Clouds, evaluate_clouds
        >>> model, info = load_model("modelnet10-mgic-diffgcn")
        >>> clouds = Clouds(torch.rand(3, 64, 3) - 0.5, torch.tensor([0, 1, 2]))
        >>> matrix, loss = evaluate_clouds(model, clouds, num_classes=10)
        >>> int(matrix.matrix.sum())
        3
    """
    logits = predict_logits(model, clouds.pos, device)
    matrix = ConfusionMatrix(num_classes)
    matrix.update(logits.argmax(dim=1), clouds.label)
    return matrix, float(F.cross_entropy(logits, clouds.label))
