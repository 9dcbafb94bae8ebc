"""The most likely classes, for JSON."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def most_likely(logits: Tensor, classes: tuple[str, ...]) -> dict[str, Any]:
    """The first of the three most likely classes, and all three as ``top``."""
    top = logits.softmax(dim=0).topk(min(3, len(classes)))
    best = [
        {"class": classes[i], "probability": round(p, 6)}
        for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)
    ]
    return {**best[0], "top": best}
