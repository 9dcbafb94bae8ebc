from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser

from mgic_geo.cli import train as command
from mgic_geo.errors import MgicGeoError
from mgic_geo.training import AugmentConfig, ImageConfig, TrainConfig

Config = Callable[..., TrainConfig]


def test_yaml_file_gives_the_config_back(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = config(
        lr=1e-5, stop_after=2, augment=AugmentConfig(jitter=0.125), mixed_precision="no", seed=7
    )
    written.save(tmp_path / "config.yaml")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == asdict(written)
    read: list[TrainConfig] = []
    monkeypatch.setattr(command, "train", lambda config: read.append(config) or 1 / 0)
    parser = ArgumentParser()
    command.add_arguments(parser)
    arguments = ["--config", str(tmp_path / "config.yaml"), "--augment.drop", "0.25"]
    with pytest.raises(ZeroDivisionError):
        command.run(parser.parse_args(arguments))
    assert asdict(read[0]) == {
        **asdict(written),
        "augment": {**asdict(written.augment), "drop": 0.25},
    }
    assert isinstance(read[0].augment, AugmentConfig)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"epochs": 0}, "epochs = 0"),
        ({"batch_size": -1}, "batch_size = -1"),
        ({"val_fraction": 1.0}, "val_fraction = 1.0"),
        ({"fold": 5}, r"fold = 5: it must be in \[0, 4\]"),
        ({"dropout": -0.1}, "dropout = -0.1"),
        ({"ema": 1.0}, "ema = 1.0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch = 0"),
        ({"workers": -1}, "workers = -1"),
        ({"optimizer": "adam"}, "optimizer = 'adam': use adamw or sgd"),
        ({"schedule": "flat"}, "use onecycle, cosine or step"),
        ({"mixed_precision": "fp8"}, "use no, bf16 or fp16"),
    ],
)
def test_refusals(config: Config, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(MgicGeoError, match=text):
        config(**changes)


@pytest.mark.parametrize(
    "changes", [{"scale": 1.0}, {"flip": 1.1}, {"drop": 1.0}, {"jitter": -1}, {"drop_min": 0.3}]
)
def test_augmentation_out_of_range(changes: dict[str, float]) -> None:
    with pytest.raises(MgicGeoError, match=rf"augment\.{next(iter(changes))}"):
        AugmentConfig(**changes)


def test_options_of_images_travel_through_yaml(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ImageConfig(crop_size=64, scale=(0.25, 1.0), mean=(0.5, 0.25, 0.5), std=(1, 1, 1))
    written = config(image=image, model_options={"group_size": 4, "tail": "small"}, workers=3)
    written.save(tmp_path / "config.yaml")
    read: list[TrainConfig] = []
    monkeypatch.setattr(command, "train", lambda config: read.append(config) or 1 / 0)
    parser = ArgumentParser()
    command.add_arguments(parser)
    arguments = ["--config", str(tmp_path / "config.yaml"), "--image.flip", "0.25"]
    arguments += ["--model_options.group_size", "8"]
    with pytest.raises(ZeroDivisionError):
        command.run(parser.parse_args(arguments))
    assert read[0].image == replace(image, flip=0.25)
    assert read[0].model_options == {"group_size": 8, "tail": "small"}
    assert type(read[0].model_options) is dict  # a saved state holds plain types alone


def test_load_reads_what_save_wrote(config: Config, tmp_path: Path) -> None:
    image = ImageConfig(crop_size=64, scale=(0.25, 1.0))
    written = config(image=image, augment=AugmentConfig(drop=0.5), model_options={"k": 4})
    written.save(tmp_path / "config.yaml")
    assert TrainConfig.load(tmp_path / "config.yaml") == written
    assert TrainConfig.load(tmp_path / "config.yaml", seed=3) == replace(written, seed=3)
    for text, message in (
        ("depth: 3", "depth"),
        ("image: {side: 3}", "side"),
        ("epochs: 0", "epochs = 0: it must be at least 1"),
        ("epochs: [", "no config"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(MgicGeoError, match=rf"bad\.yaml: .*{message}"):
            TrainConfig.load(tmp_path / "bad.yaml")
    with pytest.raises(MgicGeoError, match=r"missing\.yaml"):
        TrainConfig.load(tmp_path / "missing.yaml")


def test_shipped_configs_load(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted((repository / "mgic_geo/weights").glob("*/config.yaml"))
    assert files
    read: list[TrainConfig] = []
    monkeypatch.setattr(command, "train", lambda config: read.append(config) or 1 / 0)
    for file in files:
        parser = ArgumentParser()
        command.add_arguments(parser)
        with pytest.raises(ZeroDivisionError):
            command.run(parser.parse_args(["--config", str(file)]))
        found = asdict(read[-1])
        for name, value in yaml.safe_load(file.read_text()).items():
            # options that came later have their defaults
            assert found[name] == ({**found[name], **value} if isinstance(value, dict) else value)


def test_folder_is_named_after_data_and_model() -> None:
    assert TrainConfig(data="some/where/set.npz", model="dgcnn").folder == Path("runs/set-dgcnn")


def test_a_fixed_number_of_parts_becomes_their_size(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text("num_points: 512\nmodel_options: {parts: 4, pool: max_mean}\n")
    args = TrainConfig.load(path).model_args()
    assert (args["part_size"], args["pool"]) == (128, "max_mean")
    assert "parts" not in args
    fusion = {"model": "fusion_classifier", "model_options": {"point_options": {"parts": 4}}}
    assert TrainConfig(**fusion).model_args() == {"point_options": {"part_size": 256}}
