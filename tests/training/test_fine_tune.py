"""Runs that start from trained weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mgic_geo.errors import CheckpointError, MgicGeoError
from mgic_geo.models import create_model, load_matching, load_model
from mgic_geo.training import Clouds, Splits, TrainConfig, train
from mgic_geo.training.optim import freeze_body, make_optimizer, make_schedule

Config = Callable[..., TrainConfig]
LAST = ("fc.weight", "fc.bias")


@pytest.fixture
def trained(config: Config, splits: Splits, tmp_path: Path) -> str:
    folder = str(tmp_path / "first")
    train(config(epochs=1, out=folder, k=5, model_options={"pool": "max_mean"}), splits)
    return folder


@pytest.fixture
def others(splits: Splits) -> Splits:
    """Two of the classes."""

    def two(part: Clouds) -> Clouds:
        return Clouds(part.pos[part.label < 2], part.label[part.label < 2])

    return Splits(two(splits.train), two(splits.val), None, ("level", "medium"))


def tuned(weights: str, **changes: object) -> TrainConfig:
    options = {"num_points": 64, "epochs": 1, "batch_size": 8, "weights": weights}
    return TrainConfig(**{**options, **changes})


def of(folder: str | Path) -> dict[str, Tensor]:
    return load_file(Path(folder) / "last.safetensors")


def test_model_and_options_come_from_the_weights(trained: str) -> None:
    config = tuned(trained, model_options={"max_parts": 3})
    assert (config.model, config.width, config.k) == ("mgic_diffgcn", 16, 5)
    assert config.model_options == {"pool": "max_mean", "max_parts": 3}
    assert tuned(trained, dropout=0.3).dropout == 0.3
    for changes, text in (
        ({"width": 32}, "width = 32: the weights .* have 16"),
        ({"model": "dgcnn"}, "model = 'dgcnn': the weights .* have 'mgic_diffgcn'"),
    ):
        with pytest.raises(MgicGeoError, match=text):
            tuned(trained, **changes)
    with pytest.raises(CheckpointError, match="no weights at nowhere"):
        tuned("nowhere")
    with pytest.raises(MgicGeoError, match="name some by weights"):
        TrainConfig(freeze=True)


def test_a_run_starts_from_them_and_says_so(
    trained: str, others: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    train(tuned(trained, freeze=True, out=out), others)
    count = len(of(trained)) - len(LAST)
    assert f"{count} tensors taken, made anew: fc.weight, fc.bias" in capsys.readouterr().out
    before, after = of(trained), of(out)
    for name, tensor in after.items():
        if name not in LAST:
            assert torch.equal(tensor, before[name]), name  # weights and statistics alike
    model, info = load_model(out)
    assert info.classes == ("level", "medium")
    assert model.num_classes == 2


def test_the_body_follows_unless_it_is_frozen(trained: str, others: Splits, tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    train(tuned(trained, body_lr=0.1, out=out), others)
    assert not torch.equal(of(out)["stem.conv.weight"], of(trained)["stem.conv.weight"])


def test_equal_classes_keep_the_last_layer(trained: str, splits: Splits) -> None:
    model, _ = load_model(trained)
    for classes, kept in ((splits.classes, True), (("flat", "round", "middle"), False)):
        twin = create_model("mgic_diffgcn", num_classes=3, width=16, k=5, pool="max_mean")
        report = load_matching(twin, trained, classes)
        assert torch.equal(twin.fc.weight, model.fc.weight) == kept
        assert report.missing == (() if kept else LAST)


def test_a_layer_is_taken_whole_or_not_at_all(trained: str) -> None:
    twin = create_model("mgic_diffgcn", num_classes=3, width=16, k=5)  # pools the maximum alone
    start = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    report = load_matching(twin, trained)
    misfits = {mismatch.name for mismatch in report.mismatched}
    assert misfits
    assert all(name.startswith("head.") for name in misfits)
    for name in misfits:
        assert torch.equal(twin.state_dict()[name], start[name])
    with pytest.raises(CheckpointError, match="nothing of these weights"):
        load_matching(create_model("resnet20", width=10), trained)


def test_a_resumed_run_needs_the_weights_no_more(
    trained: str, others: Splits, tmp_path: Path
) -> None:
    whole, cut = str(tmp_path / "whole"), str(tmp_path / "cut")
    config = tuned(trained, epochs=3, body_lr=0.5)
    train(replace(config, out=whole), others)
    train(replace(config, out=cut, stop_after=1), others)
    Path(trained).rename(tmp_path / "gone")
    train(TrainConfig.load(Path(cut) / "config.yaml", resume=True, stop_after=None), others)
    assert all(torch.equal(tensor, of(cut)[name]) for name, tensor in of(whole).items())


def test_freeze_refuses_a_body_that_would_stay_at_its_start(
    trained: str, others: Splits, tmp_path: Path
) -> None:
    config = tuned(trained, freeze=True, model_options={"pool": "max"}, out=str(tmp_path / "run"))
    with pytest.raises(CheckpointError, match=r"nothing there fits head.*freeze"):
        train(config, others)


def test_frozen_norms_keep_their_statistics() -> None:
    model = create_model("resnet20", num_classes=3).train()
    freeze_body(model)
    assert [n for n, p in model.named_parameters() if p.requires_grad] == list(LAST)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.rand(4, 3, 16, 16))
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_rates_of_body_and_last_layer(schedule: str) -> None:
    model = create_model("resnet20", num_classes=3)
    config = TrainConfig(model="resnet20", body_lr=0.1, schedule=schedule, optimizer="sgd")
    optimizer = make_optimizer(model, config)
    scheduler = make_schedule(optimizer, config, 10)
    last = {id(p) for p in model.fc.parameters()}
    rates = []
    for _ in range(9):
        by_part = {
            id(group["params"][0]) in last: group["lr"]
            for group in optimizer.param_groups
            if group["params"]
        }
        rates.append(by_part)
        optimizer.step()
        scheduler.step()
    assert all(r[False] == pytest.approx(0.1 * r[True]) for r in rates)
    held = sum(len(group["params"]) for group in optimizer.param_groups)
    assert held == len(list(model.parameters()))


def test_models_without_a_known_last_layer(tiny_models: None) -> None:
    with pytest.raises(ValueError, match="get_classifier"):
        freeze_body(nn.Sequential(nn.Linear(2, 2)))


def test_some_examples_of_each_class(tmp_path: Path) -> None:
    from mgic_geo.training.data import make_splits

    few = TrainConfig(num_points=32, per_class=3, val_fraction=0.0, root=str(tmp_path))
    train_part = make_splits(few).train
    assert torch.bincount(train_part.label).tolist() == [3] * 10
