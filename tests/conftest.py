from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

REPOSITORY = Path(__file__).resolve().parents[1]
os.environ.setdefault("MPLBACKEND", "Agg")  # no test opens a window
# Open3D loads a TBB that is too old for Numba, which would warn when it tries that one first.
os.environ.setdefault("NUMBA_THREADING_LAYER_PRIORITY", "omp tbb workqueue")
from mgic_geo.models import registry  # noqa: E402  (imports Numba)

torch.set_num_threads(min(2, torch.get_num_threads()))  # the same sums on a large machine

_broken: list[str] = []
try:
    import open3d  # noqa: F401
except ModuleNotFoundError:
    pass
except (ImportError, OSError) as error:
    # Installed, but a system library such as libusb is missing: as good as not installed, and what
    # needs it is skipped rather than failed.
    sys.modules["open3d"] = None  # type: ignore[assignment]
    _broken.append(f"open3d does not import, its tests are skipped: {error}")


def pytest_report_header() -> list[str]:
    return _broken


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Equal global generators for each test, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)


class TinyCNN(nn.Module):
    """Images to classes."""

    def __init__(self, num_classes: int = 10, width: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).relu().mean(dim=(2, 3)))


class TinySegmenter(nn.Module):
    """Images to a class for each pixel."""

    input_size = (24, 40)

    def __init__(self, num_classes: int = 3, width: int = 8) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, width, 3, padding=1)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).relu())


@pytest.fixture
def tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models ``tiny_cnn`` and ``tiny_segmenter``, registered for one test."""
    for name in ("_REGISTRY", "_TASKS", "_DENSE_TWINS"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))

    def tiny_cnn(**options: Any) -> nn.Module:
        """A convolution and a mean."""
        return TinyCNN(**options)

    def tiny_segmenter(**options: Any) -> nn.Module:
        """Two convolutions."""
        return TinySegmenter(**options)

    registry.register_model(tiny_cnn, task="images")
    registry.register_model(tiny_segmenter, task="segmentation")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real research data, which lies beside the repository and is never part of it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder ../shared/data with the real data is not there")
    return folder
