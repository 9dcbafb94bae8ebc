from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mgic_geo.datasets.images import ImageDataset
from mgic_geo.datasets.images._base import MemoryImages
from mgic_geo.training import Clouds, ImageConfig, Splits, TrainConfig
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


def memory_images(count: int, seed: int, side: int = 12) -> MemoryImages:
    """Three classes: red, green and blue on average, under much noise."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % 3
    images = torch.randint(0, 160, (count, 3, side, side), generator=generator)
    images[torch.arange(count), label] += 90
    names = [f"{i:03d}" for i in range(count)]
    return MemoryImages(images.to(torch.uint8), label, names, ("red", "green", "blue"))


class Discs(ImageDataset):
    """Bright discs on dark ground, of any size; class 1 is the disc, a frame is of no class."""

    def __init__(self, count: int, seed: int) -> None:
        super().__init__([f"{i:03d}" for i in range(count)], ("ground", "disc"), None, 7)
        self.seed = seed

    def _load(self, index: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1000 * self.seed + int(self.names[index]))
        height, width = torch.randint(20, 33, (2,), generator=generator).tolist()
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        disc = (rows - height // 2) ** 2 + (columns - width // 2) ** 2 < 49
        noise = torch.randint(0, 120, (3, height, width), generator=generator)
        mask = disc.to(torch.uint8)
        mask[:2] = 7
        return (noise + 120 * disc).to(torch.uint8), mask


@pytest.fixture
def image_splits() -> Splits[ImageDataset]:
    return Splits(memory_images(48, 0), memory_images(18, 1), None, ("red", "green", "blue"))


@pytest.fixture
def mask_splits() -> Splits[ImageDataset]:
    return Splits(Discs(16, 0), Discs(4, 1), None, ("ground", "disc"))


@pytest.fixture
def image_config(tmp_path: Path, tiny_models: None) -> Callable[..., TrainConfig]:
    """A run of a second on images in memory, in an empty folder; ``image`` as a dict."""

    def make(image: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
        options = {"model": "tiny_cnn", "epochs": 2, "batch_size": 8, "workers": 0}
        options |= {"image": ImageConfig(**{"padding": 1, **(image or {})})}
        return TrainConfig(**{**options, "out": str(tmp_path / "run"), **changes})

    return make
