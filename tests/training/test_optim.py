from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from mgic_geo.training import TrainConfig
from mgic_geo.training.optim import make_optimizer, make_schedule


def rates(**changes: Any) -> tuple[torch.optim.Optimizer, list[float]]:
    config = TrainConfig(lr=2.0, **changes)
    optimizer = make_optimizer(nn.Linear(2, 2), config)
    scheduler = make_schedule(optimizer, config, 100)
    found = []
    for _ in range(100):
        found.append(float(scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
    return optimizer, found


def test_step_divides_by_ten_as_in_the_paper() -> None:
    _, found = rates(schedule="step", warmup=0.0)
    assert found == pytest.approx([2.0] * 30 + [0.2] * 30 + [0.02] * 30 + [0.002] * 10)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_rate_rises_and_falls(schedule: str) -> None:
    _, found = rates(schedule=schedule, warmup=0.2)
    top = found.index(max(found))
    assert abs(top - 20) <= 1
    assert max(found) == pytest.approx(2.0, rel=1e-2)
    assert found[:top] == sorted(found[:top])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert found[-1] < 0.01 * max(found)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "step"])
def test_sgd_keeps_its_nesterov_momentum(schedule: str) -> None:
    optimizer, _ = rates(schedule=schedule, optimizer="sgd", weight_decay=0.25)
    assert isinstance(optimizer, SGD)
    assert all((g["momentum"], g["nesterov"]) == (0.9, True) for g in optimizer.param_groups)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.25, 0.0]
    assert isinstance(rates()[0], AdamW)
