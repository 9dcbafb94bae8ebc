from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
import torch

ENGINES = {
    "torch": "torch",
    "onnx": "onnxruntime",
    "executorch": "executorch",
    "openvino": "openvino",
}


@pytest.fixture
def needs() -> Callable[[str], None]:
    """Skips a test whose engine is not installed."""

    def check(name: str) -> None:
        if importlib.util.find_spec(ENGINES[name]) is None:
            pytest.skip(f"{ENGINES[name]} is not installed (extra {name})")

    return check


@pytest.fixture
def pos() -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.rand(3, 64, 3, generator=generator) - 0.5
