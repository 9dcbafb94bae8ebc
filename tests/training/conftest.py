from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mgic_geo.training import Clouds, Splits, TrainConfig
from mgic_geo.transforms import normalize_sphere


@pytest.fixture(scope="session")
def splits() -> Splits:
    """Three classes that differ in their flatness; noise enough that nothing is learned at once."""
    generator = torch.Generator().manual_seed(0)

    def clouds(count: int) -> Clouds:
        label = torch.arange(count) % 3
        pos = torch.randn(count, 64, 3, generator=generator)
        pos[..., 2] *= (0.1 + 0.45 * label)[:, None]
        return Clouds(normalize_sphere(pos), label)

    return Splits(clouds(24), clouds(9), None, ("flat", "middle", "round"))


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., TrainConfig]:
    """A run of seconds in an empty folder."""

    def make(**changes: Any) -> TrainConfig:
        options = {"num_points": 64, "width": 16, "k": 6, "epochs": 3, "batch_size": 8}
        return TrainConfig(**{**options, "out": str(tmp_path / "run"), **changes})

    return make
