from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mgic_geo
from mgic_geo.compress import load_compressed, measure_latency, save_compressed
from mgic_geo.errors import CheckpointError, MgicGeoError


def _net(width: int = 32) -> nn.Sequential:
    torch.manual_seed(3)
    parts = [nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.BatchNorm1d(width)]
    return nn.Sequential(*parts, nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 5)).eval()


def _slim(teacher: nn.Module) -> nn.Module:
    slim, _ = mgic_geo.compress(teacher, torch.randn(64, 8), 4, 4, start="random")
    return slim


def _batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    return [(torch.randn(32, 8, generator=generator), torch.zeros(32)) for _ in range(4)]


def _first(batch: Any) -> Any:
    return batch[0]


@pytest.mark.parametrize("loss", ["kl", "mse", nn.functional.l1_loss])
def test_the_student_comes_nearer(loss: Any) -> None:
    teacher = _net()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    slim = _slim(teacher)
    done = mgic_geo.distill(
        slim, teacher, _batches(), steps=60, lr=1e-2, loss=loss, features=("2",), inputs=_first
    )
    assert done.steps == len(done.losses) == 60
    assert sum(done.losses[-5:]) < 0.6 * sum(done.losses[:5])
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert not slim.training
    assert not any(module._forward_hooks for module in (*slim.modules(), *teacher.modules()))


def test_a_resumed_run_is_an_uninterrupted_one(tmp_path: Path) -> None:
    teacher = _net()
    options: Any = {"steps": 6, "inputs": _first}
    whole, parts = _slim(teacher), _slim(teacher)
    parts.load_state_dict(whole.state_dict())
    mgic_geo.distill(whole, teacher, _batches(), **options)

    class Stop(Exception):
        pass

    def broken(outputs: Any, target: Any) -> Tensor:
        if state.exists():
            raise Stop
        return kl(outputs, target)

    from mgic_geo.compress.distillation import _kl

    kl, state = _kl(2.0), tmp_path / "state.pt"
    with pytest.raises(Stop):
        mgic_geo.distill(
            parts, teacher, _batches(), loss=broken, state=state, save_every=4, **options
        )
    fresh = _slim(teacher)
    done = mgic_geo.distill(fresh, teacher, _batches(), state=state, **options)
    assert done.steps == 6
    for a, b in zip(fresh.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)


def test_wrong_options(tmp_path: Path) -> None:
    teacher = _net()
    slim = _slim(teacher)
    for options, message in (
        ({"steps": 0}, "steps = 0"),
        ({"steps": 1, "loss": "ce"}, "loss = 'ce'"),
        ({"steps": 1, "features": ("nowhere",)}, "'nowhere' is no module"),
    ):
        with pytest.raises(MgicGeoError, match=message):
            mgic_geo.distill(slim, teacher, _batches(), inputs=_first, **options)
    with pytest.raises(MgicGeoError, match="no batch"):
        mgic_geo.distill(slim, teacher, [], steps=1)
    state = tmp_path / "state.pt"
    mgic_geo.distill(slim, teacher, _batches(), steps=1, inputs=_first, state=state)
    with pytest.raises(CheckpointError, match="a run of 1 steps, not 2"):
        mgic_geo.distill(slim, teacher, _batches(), steps=2, inputs=_first, state=state)
    with pytest.raises(CheckpointError, match="of another network"):
        mgic_geo.distill(_net(16), teacher, _batches(), steps=1, inputs=_first, state=state)
    state.write_bytes(b"none")
    with pytest.raises(CheckpointError, match="damaged"):
        mgic_geo.distill(slim, teacher, _batches(), steps=1, inputs=_first, state=state)


def test_saved_and_loaded(tmp_path: Path) -> None:
    teacher, x = _net(), torch.randn(4, 8)
    slim, _ = mgic_geo.compress(teacher, torch.randn(64, 8), 4, target=0.7)
    path = tmp_path / "slim.safetensors"
    save_compressed(slim, path)
    again = load_compressed(_net().apply(lambda m: None), path)
    assert torch.equal(again(x), slim(x))
    with pytest.raises(CheckpointError, match="no such file"):
        load_compressed(teacher, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="another network"):
        load_compressed(_net(16), path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CheckpointError, match="damaged"):
        load_compressed(teacher, path)


def test_latency_of_both() -> None:
    pytest.importorskip("onnxruntime", reason="latency of exported networks needs ONNX Runtime")
    teacher, x = _net(), torch.randn(2, 8)
    slim = _slim(teacher).train()
    found = measure_latency(teacher, slim, x, threads=(1,), engines=("eager", "onnx"), rounds=2)
    assert [(one.engine, one.threads) for one in found] == [("eager", 1), ("onnx", 1)]
    assert min(min(one.before, one.after) for one in found) > 0.0
    assert slim.training
    with pytest.raises(MgicGeoError, match="engine 'tpu'"):
        measure_latency(teacher, slim, x, engines=("tpu",))
