from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mgic_geo.cli import main
from mgic_geo.datasets import MODELNET10_CLASSES, Furniture10
from mgic_geo.models import WeightsInfo, create_model, save_weights
from mgic_geo.nn import BatchNorm
from mgic_geo.transforms import normalize_sphere


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cli(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Done]:
    """Runs the command line in an empty folder and in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MGIC_GEO_DEBUG", raising=False)

    def run(*arguments: object) -> Done:
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that was never trained, but whose answers differ from shape to shape."""
    torch.manual_seed(3)
    model_args = {"width": 16, "k": 6}
    model = create_model("mgic_diffgcn", num_classes=10, **model_args).train()
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.momentum = None  # true means at once: without them all shapes look alike
    with torch.no_grad():
        for _ in range(3):
            model(normalize_sphere(torch.randn(16, 64, 3) * torch.rand(16, 1, 3)))
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, model, WeightsInfo("mgic_diffgcn", model_args, MODELNET10_CLASSES, 64))
    return path


@pytest.fixture(scope="session")
def clouds_npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clouds of 64 points of each class of Furniture-10."""
    data = Furniture10(split="test", shapes_per_class=4, num_points=64)
    path = tmp_path_factory.mktemp("data") / "furniture.npz"
    np.savez(
        path,
        points=data.points.numpy(),
        label=data.labels.numpy(),
        classes=np.array(data.classes),
        name=np.array(data.names),
    )
    return path
