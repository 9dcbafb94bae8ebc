from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.experiments import _report, compress
from scripts.experiments._compress_peers import Pitch, cents, narrow_pitch, narrower, tones
from scripts.experiments._compress_tasks import learn
from scripts.experiments._experiment import Context
from scripts.experiments._rows import read_rows


def _count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_a_narrower_network_is_the_widest_that_fits() -> None:
    whole = _count(Pitch())
    for share in (0.5, 0.125):
        model = narrower(narrow_pitch, int(share * whole))
        assert 0.85 * share * whole < _count(model) <= share * whole
    sound, pitch = tones(2, seed=0)
    activation = model(sound)
    assert activation.shape == (2, 360)
    assert cents(activation).shape == pitch.shape


def test_training_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    def batches() -> Any:
        generator = torch.Generator().manual_seed(0)
        while True:
            yield torch.randn(4, 3, generator=generator), torch.zeros(4, dtype=torch.long)

    def loss(model: Any, batch: Any) -> Any:
        return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])

    from mgic_geo.training import TrainConfig

    found = []
    for cut in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        path = tmp_path / f"{cut}.pt"
        if cut:  # the schedule is that of the whole run

            def stopped() -> Any:
                for number, batch in enumerate(batches()):
                    if number == 100:
                        raise KeyboardInterrupt
                    yield batch

            with pytest.raises(KeyboardInterrupt):
                learn(model, stopped(), loss, TrainConfig(), 120, path)
            model = torch.nn.Linear(3, 2)
        learn(model, batches(), loss, TrainConfig(), 120, path)
        found.append(model.weight.detach())
    assert torch.equal(*found)


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="pictures need matplotlib")
def test_the_report_draws_the_rows(tmp_path: Path) -> None:
    context = Context(compress.EXPERIMENT, out=tmp_path, runs=tmp_path)
    context.record("crepe, dense", {"accuracy": 90.0}, parameters=1000, seed=0)
    for seed, accuracy in enumerate((80.0, 84.0)):
        for share in (0.5, 0.25):
            row = f"crepe, MGIC form, {share:g}"
            context.record(row, {"accuracy": accuracy}, parameters=int(1000 * share), seed=seed)
    _report.write_report(tmp_path)
    assert (tmp_path / "compress.png").stat().st_size > 1000
    assert "![Other people" in (tmp_path / "README.md").read_text("utf-8")
    [axes] = compress.draw(read_rows(context.path)).axes
    [bars] = axes.containers
    sizes, means = bars[0].get_data()
    assert list(sizes) == [250, 500]
    assert list(means) == [82.0, 82.0]
