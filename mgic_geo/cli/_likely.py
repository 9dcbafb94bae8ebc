"""The most likely classes, for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def likely_as_json(top: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """The first of the most likely classes, and all of them as ``top``."""
    best = [{"class": name, "probability": round(p, 6)} for name, p in top]
    return {**best[0], "top": best}
