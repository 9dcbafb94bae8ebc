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
    """Logits ``[M, C]`` of normalised clouds ``[M, n, 3 + F]``; the model is then in eval mode."""
    model.eval()
    return torch.cat([model(part.to(device)).float().cpu() for part in pos.split(_BATCH)])


def evaluate_clouds(
    model: nn.Module, clouds: Clouds, num_classes: int, device: str | torch.device = "cpu"
) -> tuple[ConfusionMatrix, float]:
    """The confusion matrix and the mean cross-entropy of a model on labelled clouds."""
    logits = predict_logits(model, clouds.pos, device)
    matrix = ConfusionMatrix(num_classes)
    matrix.update(logits.argmax(dim=1), clouds.label)
    return matrix, float(F.cross_entropy(logits, clouds.label))
