from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scripts import point_and_image as program


def test_the_three_networks_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "pictures" / "views.png"
    options = ["--quick", "--device", "cpu", "--picture", str(picture), "--image", "resnet20"]
    results = program.main([*options, "--size", "16", "--views", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert list(results) == ["points", "views", "both"]
    for line, (kind, accuracy) in zip(lines[-3:], results.items(), strict=True):
        assert line.split()[0] == kind
        assert line.endswith(f"{100 * accuracy:.2f} %")
    points, views, both = (int(line.split()[1].replace(",", "")) for line in lines[-3:])
    assert both > points + views - 10 * (64 + 64 + 2)  # without the last layers of its parts


def test_without_matplotlib_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(program, "train", lambda *_: None)
    results = program.main(["--quick", "--device", "cpu", "--picture", str(tmp_path / "x.png")])
    assert len(results) == 3
    assert "no picture" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


class Recorder(nn.Module):
    """A linear classifier that keeps what it saw; ``draws`` numbers on the side."""

    def __init__(self, draws: int) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)
        self.draws, self.seen = draws, list[Tensor]()

    def forward(self, pos: Tensor) -> Tensor:
        torch.rand(self.draws)
        self.seen.append(pos)
        return self.fc(pos.mean(dim=1))


def test_budgets_are_equal() -> None:
    options = argparse.Namespace(seed=3, lr=0.01, batch_size=4, epochs=2, device="cpu")
    pos, label = torch.rand(10, 8, 3), torch.arange(10) % 4
    models = [Recorder(draws) for draws in (0, 5)]
    for model in models:
        program.train(model, pos, label, options)
        assert len(model.seen) == 2 * (10 // 4)
    for first, second in zip(*(model.seen for model in models), strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(models[0].seen[0], models[0].seen[2])
