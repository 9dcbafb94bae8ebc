from __future__ import annotations

import csv
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scripts.compress_zoo import __main__ as zoo
from scripts.compress_zoo._networks import Network, networks


def test_it_is_large_enough() -> None:
    count = Counter(network.package for network in networks())
    assert count["pytorchcv"] >= 20
    assert count["transformers"] >= 15
    assert count["torch_geometric"] >= 10


@pytest.mark.parametrize(
    ("package", "name"),
    [
        pytest.param("torch_geometric", "GIN", marks=pytest.mark.slow),
        pytest.param("pytorchcv", "resnet20_cifar10", marks=pytest.mark.slow),
        pytest.param("transformers", "BERT", marks=pytest.mark.slow),
    ],
)
def test_one_of_each(package: str, name: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'mgic_geo[zoo]'")
    [network] = [n for n in networks() if (n.package, n.name) == (package, name)]
    row = zoo.check(network)
    assert row["result"] == "ok", row
    assert row["replaced"] > 0
    assert row["export"] == "torch"


def test_rows_say_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgets(nn.Linear):
        """Says something else each time."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + torch.rand(1)

    def broken() -> tuple[nn.Module, Any]:
        raise ImportError("not here")

    def forgets() -> tuple[nn.Module, Any]:
        parts = [nn.Linear(8, 64), nn.Linear(64, 64), Forgets(64, 8)]
        return nn.Sequential(*parts), torch.randn(16, 8)

    rows = [Network("mine", "broken", broken), Network("mine", "forgets", forgets)]
    monkeypatch.setattr(zoo, "networks", lambda: rows)
    out = tmp_path / "zoo.csv"
    assert zoo.main(["--out", str(out)]) == 1
    with out.open(newline="") as file:
        found = {row["network"]: row for row in csv.DictReader(file)}
    assert found["broken"]["result"] == "original"
    assert "not here" in found["broken"]["why"]
    assert found["forgets"]["result"] == "failed"
    assert "deepcopy says otherwise" in found["forgets"]["why"]
