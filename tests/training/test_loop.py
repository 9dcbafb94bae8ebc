from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mgic_geo.errors import MgicGeoError
from mgic_geo.models import create_model, load_model
from mgic_geo.training import (
    AugmentConfig,
    Splits,
    TrainConfig,
    evaluate_clouds,
    loop,
    predict_logits,
    train,
)
from mgic_geo.training.optim import parameter_groups
from mgic_geo.training.tasks import make_task
from mgic_geo.training.tasks.base import class_weights

Config = Callable[..., TrainConfig]
FUSION = {"model": "fusion_classifier", "width": TrainConfig.width, "k": TrainConfig.k}


@pytest.mark.parametrize("name", ["mgic_diffgcn", "dgcnn"])
def test_matrices_decay_and_the_rest_does_not(name: str) -> None:
    model = create_model(name, width=16)
    decayed, plain = parameter_groups(model.parameters(), 0.05)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.05, 0.0)
    assert all(p.dim() > 1 for p in decayed["params"])
    assert all(p.dim() <= 1 for p in plain["params"])
    sizes = [sum(p.numel() for p in group["params"]) for group in (decayed, plain)]
    assert sum(sizes) == sum(p.numel() for p in model.parameters())


def test_balance_gives_small_classes_their_share() -> None:
    label = torch.tensor([0] * 12 + [1] * 4 + [3] * 2)
    assert class_weights(label, 4, 0.0) is None
    equal, root = class_weights(label, 4, 1.0), class_weights(label, 4, 0.5)
    assert equal is not None
    assert root is not None
    torch.testing.assert_close(equal[label].mean(), torch.tensor(1.0))
    shares = [float(equal[label[label == c]].sum()) for c in (0, 1, 3)]
    assert shares == pytest.approx([6.0, 6.0, 6.0])
    assert float(root[1] / root[0]) == pytest.approx(3**0.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"k": 45},
        {"model_options": {"k": 45}},
        {"k": 23, "model_options": {"dilation": 2}},
        {**FUSION, "model_options": {"point_options": {"k": 45}}},
    ],
)
def test_a_step_must_leave_points_for_the_neighbours(
    config: Config, splits: Splits, tmp_path: Path, changes: dict[str, Any]
) -> None:
    # 45 of 64 points are left at least
    with pytest.raises(MgicGeoError, match=r"num_points = 64 with augment.drop = 0.3 may leave"):
        train(config(augment=AugmentConfig(drop=0.3), **changes), splits)
    assert not (tmp_path / "run").exists()


def test_clouds_have_no_memory_format(config: Config, splits: Splits) -> None:
    changes = {"epochs": 1, "memory_format": "channels_last"}
    assert train(config(**changes), splits).summary["epochs"] == 1


def test_mixed_clouds_have_mixed_targets(config: Config, splits: Splits) -> None:
    task = make_task(
        config(augment=AugmentConfig(drop=0.0, cut_mix=1.0)), splits, torch.device("cpu")
    )
    label = splits.train.label[:8]
    pos, target = task.batch((splits.train.pos[:8], label), torch.Generator().manual_seed(0))
    assert pos.shape == (8, 64, 3)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(8))
    share = 1.0 - target[torch.arange(8), label]
    mixed = share[share > 0.0]  # the rest has a partner of its own class
    assert len(mixed) > 0
    torch.testing.assert_close(mixed, mixed[:1].expand_as(mixed))
    right, count = task.tally(target, target)
    assert (int(right), count) == (8, 8)
    assert task.loss(100.0 * target, target).isfinite()


def test_it_learns(config: Config, splits: Splits) -> None:
    result = train(config(epochs=40, lr=0.01), splits)
    assert result.summary["validation"]["accuracy"] > 0.8
    assert result.matrix is not None
    assert int(result.matrix.matrix.sum()) == 9


def test_seed_decides_the_run(config: Config, splits: Splits, tmp_path: Path) -> None:
    def weights(seed: int, out: str) -> dict[str, torch.Tensor]:
        return train(
            config(seed=seed, epochs=1, out=str(tmp_path / out)), splits
        ).model.state_dict()

    one, two, other = weights(1, "a"), weights(1, "b"), weights(2, "c")
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_best_epoch_is_kept(config: Config, splits: Splits, tmp_path: Path) -> None:
    result = train(config(epochs=4), splits)
    lines = (tmp_path / "run/metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("val_mean_class_accuracy")
    scores = [float(line.split(",")[column]) for line in lines[1:]]
    chosen = result.summary["chosen_epoch"]
    assert scores[chosen - 1] == max(scores)
    model, info = load_model(tmp_path / "run")
    assert info.classes == splits.classes
    assert splits.val is not None
    matrix, _ = evaluate_clouds(model, splits.val, 3)
    assert round(matrix.mean_class_accuracy, 6) == max(scores)


def test_moving_average_is_what_is_kept(
    config: Config, splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_step, seen = loop._Trainer._step, []

    def watched(trainer: loop._Trainer, *args: Any) -> Any:
        tally = run_step(trainer, *args)
        seen.append({name: t.clone() for name, t in trainer.bare.state_dict().items()})
        return tally

    monkeypatch.setattr(loop._Trainer, "_step", watched)
    result = train(config(epochs=2, ema=0.25), replace(splits, val=None))
    assert len(seen) == 6
    kept, last = (load_file(tmp_path / f"run/{name}.safetensors") for name in ("best", "last"))
    for name, value in result.model.state_dict().items():
        if not value.is_floating_point():  # batches that a norm has counted
            continue
        mean = seen[0][name]
        for step, state in enumerate(seen[1:], start=1):
            decay = min(0.25, (1 + step) / (10 + step))
            mean = decay * mean + (1 - decay) * state[name]
        torch.testing.assert_close(value, mean)
        assert torch.equal(value, kept[name])
        assert torch.equal(seen[-1][name], last[name])


def test_without_a_validation_part_the_last_epoch_is_kept(config: Config, splits: Splits) -> None:
    result = train(config(epochs=2), replace(splits, val=None))
    assert result.summary["chosen_epoch"] == 2
    assert "validation" not in result.summary
    assert result.matrix is None


def test_predictions_do_not_depend_on_the_batch(splits: Splits) -> None:
    model = create_model("mgic_diffgcn", num_classes=3, width=16, k=6)
    together = predict_logits(model, splits.train.pos.repeat(2, 1, 1))
    alone = torch.cat([predict_logits(model, cloud[None]) for cloud in splits.train.pos])
    torch.testing.assert_close(together, alone.repeat(2, 1), rtol=1e-4, atol=1e-5)
