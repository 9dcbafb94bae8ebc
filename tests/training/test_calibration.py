from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.training import Calibration, fit_temperature, held_out_calibration


def drawn(temperature: float, count: int = 3000) -> tuple[Tensor, Tensor]:
    """Logits, and labels that follow their softmax at a temperature."""
    generator = torch.Generator().manual_seed(0)
    logits = 3.0 * torch.randn(count, 5, generator=generator)
    probabilities = (logits / temperature).softmax(dim=1)
    return logits, torch.multinomial(probabilities, 1, generator=generator).flatten()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_the_labels_is_found(temperature: float) -> None:
    logits, label = drawn(temperature)
    found = fit_temperature(logits, label)
    assert found == pytest.approx(temperature, rel=0.08)
    nll = [float(F.cross_entropy(logits / (found * factor), label)) for factor in (0.97, 1.0, 1.03)]
    assert nll[1] == min(nll)
    assert Calibration.of(logits, label, found).error < 0.03
    assert held_out_calibration(logits, label).error < 0.03
    if temperature != 1.0:
        assert Calibration.of(logits, label).error > 0.1


def test_error_is_the_sum_over_bins() -> None:
    logits, label = drawn(2.0, 500)
    found = Calibration.of(logits, label, bins=10)
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    expected, edges = 0.0, np.linspace(0, 1, 11)
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            right = (predicted == label)[inside].double().mean()
            expected += float(inside.sum() * (right - confidence[inside].mean()).abs()) / 500
    assert found.error == pytest.approx(expected, abs=1e-12)
    assert found.nll == pytest.approx(float(F.cross_entropy(logits.double(), label)))
    assert sum(found.count) == 500


def test_what_cannot_be_calibrated() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    with pytest.raises(DataError, match="all 2 are classified right"):
        fit_temperature(logits, torch.tensor([0, 1]))
    with pytest.raises(DataError, match=r"label \[M\], got \[2, 2\] and \[3\]"):
        Calibration.of(logits, torch.tensor([0, 1, 1]))
