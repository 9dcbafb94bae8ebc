"""Probabilities that mean what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from mgic_geo.errors import DataError

_LARGEST = 20.0  # temperature; the smallest is its inverse


@dataclass(frozen=True)
class Calibration:
    r"""How far the probabilities of a classifier are from its accuracy.

    The predictions fall into :math:`B` bins of equal width by their confidence, the probability of
    the most likely class. With :math:`n_b` predictions in a bin, their share of right ones
    :math:`\mathrm{acc}_b` and mean confidence :math:`\mathrm{conf}_b`, the expected calibration
    error (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017) is

    .. math::
        \mathrm{ECE} = \sum_{b=1}^{B} \frac{n_b}{n} |\mathrm{acc}_b - \mathrm{conf}_b|.

    Args:
        temperature: What the logits were divided by.
        error: Expected calibration error, in [0, 1].
        nll: Mean negative log-likelihood of the true classes, in nats.
        accuracy: Share of right predictions of each bin ``[B]``; NaN for an empty one.
        confidence: Mean confidence of each bin ``[B]``; NaN for an empty one.
        count: Predictions of each bin ``[B]``.

    Example:
        >>> import torch
        >>> from mgic_geo.training import Calibration
        >>> logits = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0], [0.0, 3.0]])
        >>> label = torch.tensor([0, 1, 1, 1])  # three of four are right, all at 95 %
        >>> round(Calibration.of(logits, label).error, 3)
        0.203
    """

    temperature: float
    error: float
    nll: float
    accuracy: tuple[float, ...]
    confidence: tuple[float, ...]
    count: tuple[int, ...]

    @classmethod
    def of(
        cls, logits: Tensor, label: Tensor, temperature: float = 1.0, bins: int = 15
    ) -> Calibration:
        """Measures logits ``[M, C]`` against the true classes ``[M]``.

        Raises:
            DataError: Shapes do not fit, or there is nothing to measure.
        """
        logits = _check(logits, label) / temperature
        confidence, predicted = logits.softmax(dim=1).max(dim=1)
        right = (predicted == label).double()
        index = (confidence * bins).ceil().long().clamp(1, bins) - 1  # (a, b] of [0, 1]
        count = torch.bincount(index, minlength=bins)
        sums = [torch.bincount(index, values, minlength=bins) for values in (right, confidence)]
        error = float((sums[0] - sums[1]).abs().sum()) / len(label)
        accuracy, mean = (tuple((part / count).tolist()) for part in sums)
        nll = float(F.cross_entropy(logits, label))
        return cls(temperature, error, nll, accuracy, mean, tuple(count.tolist()))


def fit_temperature(logits: Tensor, label: Tensor) -> float:
    r"""The one number that logits should be divided by for their softmax to be probabilities.

    .. math::
        T = \arg\min_T -\frac{1}{M} \sum_i \log \mathrm{softmax}(z_i / T)_{y_i},
        \qquad \tfrac{1}{20} \le T \le 20.

    It changes no prediction. Fit it on shapes that were not trained on (Guo et al., ICML 2017).

    Args:
        logits: ``[M, C]``
        label: True classes ``[M]``.

    Returns:
        The temperature; above 1 where the classifier was too certain, below 1 where it was not
        certain enough, as label smoothing makes it.

    Raises:
        DataError: All predictions are right, so that certainty had no end, or shapes do not fit.

    Example:
        >>> import torch
        >>> from mgic_geo.training import fit_temperature
        >>> logits = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0], [0.0, 3.0]])
        >>> label = torch.tensor([0, 1, 1, 1])
        >>> temperature = fit_temperature(logits, label)
        >>> round(float((logits[0] / temperature).softmax(dim=0)[0]), 3)  # three of four are right
        0.75
    """
    logits = _check(logits, label)
    if bool((logits.argmax(dim=1) == label).all()):
        raise DataError(
            f"all {len(label)} are classified right: this says nothing of how certain to be; "
            "calibrate on more, or harder ones that were not trained on"
        )
    most = math.log(_LARGEST)
    found = minimize_scalar(
        lambda t: float(F.cross_entropy(logits * math.exp(-t), label)),
        bounds=(-most, most),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(math.exp(found.x))


def held_out_calibration(logits: Tensor, label: Tensor, bins: int = 15) -> Calibration:
    """What a temperature does for shapes that it was not fitted on.

    Each class is halved in the order that it comes in; each half is judged with the temperature
    that was fitted on the other.

    Args:
        logits: ``[M, C]``
        label: True classes ``[M]``.
        bins: As in :class:`Calibration`.

    Returns:
        The figures of both halves together, with the mean of both temperatures.

    Raises:
        DataError: As of :func:`fit_temperature`, of a half.

    Example:
        >>> import torch
        >>> from mgic_geo.training import held_out_calibration
        >>> logits = torch.tensor([[3.0, 0.0], [0.0, 3.0]]).repeat(8, 1)
        >>> label = torch.tensor([0, 1]).repeat(8)
        >>> label[::6] = 1
        >>> found = held_out_calibration(logits, label)
        >>> sum(found.count)
        16
    """
    logits = _check(logits, label)
    second = torch.zeros_like(label, dtype=torch.bool)
    for index in label.unique():
        members = (label == index).nonzero().flatten()
        second[members[len(members) // 2 :]] = True
    halves = (second, ~second)
    temperatures = [fit_temperature(logits[half], label[half]) for half in halves]
    scaled = logits.clone()
    for half, temperature in zip(halves, reversed(temperatures), strict=True):
        scaled[half] /= temperature
    judged = Calibration.of(scaled, label, bins=bins)
    return replace(judged, temperature=sum(temperatures) / 2)


def _check(logits: Tensor, label: Tensor) -> Tensor:
    if logits.dim() != 2 or label.shape != logits.shape[:1] or not len(label):
        raise DataError(
            f"logits must be [M, C] and label [M], got {list(logits.shape)} and {list(label.shape)}"
        )
    return logits.double()
