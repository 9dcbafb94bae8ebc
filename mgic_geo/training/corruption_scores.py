"""How a classifier of clouds holds under corruptions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mgic_geo.errors import DataError
from mgic_geo.transforms.corruptions import CORRUPTIONS, MODELNET_C, SEVERITIES, corrupt

if TYPE_CHECKING:
    from mgic_geo.training.data import Clouds

_BATCH = 32


@dataclass(frozen=True)
class CorruptionScores:
    """Accuracies of one classifier.

    Args:
        clean: On the clouds as they are.
        accuracy: Of each kind, at each severity from 1 to 5.

    Example:
        >>> from mgic_geo.training import CorruptionScores
        >>> ours = CorruptionScores(0.9, {"scale": [0.9, 0.8, 0.8, 0.7, 0.7]})
        >>> dgcnn = CorruptionScores(0.9, {"scale": [0.8, 0.6, 0.6, 0.4, 0.4]})
        >>> round(ours.corruption_error("scale", dgcnn), 6), round(ours.overall("scale"), 6)
        (0.5, 0.78)
    """

    clean: float
    accuracy: Mapping[str, Sequence[float]]

    def overall(self, kind: str) -> float:
        """Mean accuracy of a kind over its severities."""
        return math.fsum(self.accuracy[kind]) / len(self.accuracy[kind])

    def corruption_error(self, kind: str, reference: CorruptionScores) -> float:
        r"""Errors of a kind as a share of those of another classifier.

        .. math::
            \mathrm{CE}_k = \frac{\sum_s (1 - \mathrm{OA}_{k,s})}{\sum_s (1 - \mathrm{OA}^{
            \text{ref}}_{k,s})}

        Args:
            kind: Which one.
            reference: DGCNN in ModelNet-C, trained on the same shapes.

        Returns:
            1 for as many errors; infinity where the reference makes none and this one does.
        """
        own, other = (1.0 - scores.overall(kind) for scores in (self, reference))
        if other <= 0.0:
            return math.inf if own > 0.0 else 1.0
        return own / other

    def mean_corruption_error(self, reference: CorruptionScores) -> float:
        """mCE: the mean of :meth:`corruption_error` over the seven kinds of ModelNet-C.

        Raises:
            DataError: One of the seven was not measured.
        """
        missing = [kind for kind in MODELNET_C if kind not in self.accuracy]
        if missing:
            raise DataError(
                f"mCE needs all kinds of ModelNet-C; not measured: {', '.join(missing)}"
            )
        return math.fsum(self.corruption_error(k, reference) for k in MODELNET_C) / len(MODELNET_C)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"clean": self.clean, "accuracy": {k: list(v) for k, v in self.accuracy.items()}}


def evaluate_corruptions(
    model: nn.Module,
    clouds: Clouds,
    kinds: Sequence[str] = CORRUPTIONS,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Callable[[str], None] | None = None,
) -> CorruptionScores:
    """Measures a classifier on spoilt clouds, every kind at every severity.

    Args:
        model: Gives logits ``[B, C]`` of ``pos [N, 3]`` and ``batch [N]``; it goes to evaluation
            mode.
        clouds: ``[M, n, 3]`` in the unit sphere, with their labels.
        kinds: Which corruptions, see :func:`~mgic_geo.transforms.corruptions.corrupt`.
        seed: Cloud number ``i`` is spoilt with the seed ``seed + i``.
        device: Where the model is.
        progress: Is told each kind that begins.

    Returns:
        Accuracies. Clouds that a corruption leaves fewer points than the model needs count as
        errors.

    Raises:
        DataError: An unknown kind, or clouds with features.

    Example:
        >>> import torch
        >>> from mgic_geo.models import load_model
        >>> from mgic_geo.training import Clouds, evaluate_corruptions
        >>> model, info = load_model("modelnet10-mgic-diffgcn")
        >>> clouds = Clouds(torch.rand(3, 64, 3) - 0.5, torch.tensor([0, 1, 2]))
        >>> len(evaluate_corruptions(model, clouds, ["jitter"]).accuracy["jitter"])
        5
    """
    if clouds.pos.size(2) != 3:
        raise DataError("corruptions are of coordinates; these clouds have features, too")
    model.eval()
    found: dict[str, list[float]] = {}
    for kind in kinds:
        if progress is not None:
            progress(kind)
        found[kind] = [
            _accuracy(
                model,
                [corrupt(pos, kind, severity, seed + i) for i, pos in enumerate(clouds.pos)],
                clouds.label,
                device,
            )
            for severity in range(1, SEVERITIES + 1)
        ]
    return CorruptionScores(_accuracy(model, list(clouds.pos), clouds.label, device), found)


@torch.no_grad()
def _accuracy(
    model: nn.Module, clouds: Sequence[Tensor], label: Tensor, device: str | torch.device
) -> float:
    least = int(getattr(model, "min_points", 1))
    fit = [i for i, pos in enumerate(clouds) if len(pos) >= least]
    right = 0
    for start in range(0, len(fit), _BATCH):
        rows = fit[start : start + _BATCH]
        sizes = torch.tensor([len(clouds[i]) for i in rows])
        pos = torch.cat([clouds[i] for i in rows]).to(device)
        batch = torch.arange(len(rows)).repeat_interleave(sizes).to(device)
        right += int((model(pos, batch).argmax(dim=1).cpu() == label[rows]).sum())
    return right / max(len(clouds), 1)
