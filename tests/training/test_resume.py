from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mgic_geo.errors import CheckpointError, DataError
from mgic_geo.training import AugmentConfig, Splits, TrainConfig, loop, train

Config = Callable[..., TrainConfig]


class Stop(Exception):
    pass


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rows(folder: Path) -> list[str]:
    """The metrics without the clock."""
    return [line.rpartition(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "mgic_edgeconv"},
        {"ema": 0.9, "augment": AugmentConfig(cut_mix=0.5, drop=0.5, drop_min=0.25)},
    ],
    ids=["diffgcn", "edgeconv", "averaged"],
)
def test_resumed_run_equals_an_uninterrupted_one(
    config: Config, splits: Splits, tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = config(**changes, dropout=0.2, out=str(tmp_path / "whole"))
    train(whole, splits)
    parts = config(**changes, dropout=0.2, out=str(tmp_path / "parts"), stop_after=1)
    train(parts, splits)
    torch.manual_seed(99)  # what a new process would not know
    train(replace(parts, stop_after=2, resume=True), splits)
    result = train(replace(parts, stop_after=None, resume=True), splits)
    for name in ("last", "best"):
        one, two = (load_file(tmp_path / run / f"{name}.safetensors") for run in ("whole", "parts"))
        assert all(torch.equal(one[key], two[key]) for key in one | two)
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")
    assert result.summary["epochs"] == 3


@pytest.mark.parametrize("stop", [Stop, KeyboardInterrupt])
def test_stop_in_the_middle_of_an_epoch_leaves_the_last_whole_one(
    config: Config,
    splits: Splits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: type[BaseException],
) -> None:
    train(config(out=str(tmp_path / "whole")), splits)
    step, calls = loop._Trainer._step, []

    def stopping(*args: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:  # three steps an epoch
            raise stop
        return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Trainer, "_step", stopping)
        with pytest.raises(stop):
            train(config(), splits)
    assert len(rows(tmp_path / "run")) == 2
    train(config(resume=True), splits)
    one, two = (load_file(tmp_path / run / "last.safetensors") for run in ("whole", "run"))
    assert all(torch.equal(one[key], two[key]) for key in one | two)


def test_full_disk_keeps_the_last_epoch(
    config: Config, splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config(stop_after=1), splits)
    before = files(tmp_path / "run")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match="the disk is full"):
            train(config(stop_after=2, resume=True), splits)
    assert files(tmp_path / "run") == before
    assert train(config(resume=True), splits).summary["epochs"] == 3


def test_folder_of_another_run(config: Config, splits: Splits, tmp_path: Path) -> None:
    train(config(stop_after=1), splits)
    before = files(tmp_path / "run")
    with pytest.raises(CheckpointError, match="holds a run already: add --resume true"):
        train(config(), splits)
    with pytest.raises(CheckpointError, match=r"a run with width = 16, not 32"):
        train(config(width=32, resume=True), splits)
    assert files(tmp_path / "run") == before
    with pytest.raises(CheckpointError, match="there is no run to resume"):
        train(config(out=str(tmp_path / "other"), resume=True), splits)
    assert not (tmp_path / "other").exists()


def test_run_from_before_there_were_images(config: Config, splits: Splits, tmp_path: Path) -> None:
    train(config(stop_after=1), splits)
    path = tmp_path / "run" / "state.pt"
    state = torch.load(path, weights_only=True)
    later = ("source", "val_data", "model_options", "steps_per_epoch", "optimizer", "schedule")
    for name in (*later, "image", "workers", "memory_format"):
        del state["config"][name]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="a run with optimizer = adamw, not sgd"):
        train(config(optimizer="sgd", resume=True), splits)
    assert train(config(resume=True), splits).summary["epochs"] == 3


def test_damaged_state(config: Config, splits: Splits, tmp_path: Path) -> None:
    train(config(stop_after=1), splits)
    path = tmp_path / "run" / "state.pt"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match=r"state\.pt: damaged"):
        train(config(resume=True), splits)


def test_state_of_another_network(config: Config, splits: Splits, tmp_path: Path) -> None:
    train(config(stop_after=1), splits)
    path = tmp_path / "run" / "state.pt"
    state = torch.load(path, weights_only=True)
    torch.save({**state, "model": {"x": torch.zeros(1)}}, path)
    with pytest.raises(CheckpointError, match=r"state\.pt: weights of another model"):
        train(config(resume=True), splits)
    del state["model"]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="of an older version"):
        train(config(resume=True), splits)


@pytest.mark.parametrize(
    ("after", "judged"), [(False, False), (True, True)], ids=["every epoch the best", "the first"]
)
def test_stop_between_any_two_files_leaves_one_whole_epoch(
    config: Config,
    splits: Splits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: bool,
    judged: bool,
) -> None:
    splits = splits if judged else replace(splits, val=None)
    options: dict[str, Any] = {"epochs": 2, "ema": 0.9}
    train(config(**options, out=str(tmp_path / "whole")), splits)
    replace_file = os.replace
    first = ["state.pt", "last.safetensors", "best.safetensors", "metrics.csv"]
    second = [name for name in first if not (judged and name.startswith("best"))]
    expected = ["config.yaml", *first, *second, "result.json"]
    for place in range(1, len(expected) + 1):
        folder, written = tmp_path / f"at{place}", []

        def stopping(*paths: Any, place: int = place, written: list[str] = written) -> None:
            written.append(Path(paths[1]).name)
            if after:
                replace_file(*paths)
            if len(written) == place:
                raise Stop
            if not after:
                replace_file(*paths)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", stopping)
            with pytest.raises(Stop):
                train(config(**options, out=str(folder)), splits)
        torch.manual_seed(99)
        train(config(**options, out=str(folder), resume=True), splits)
        for name in ("last", "best"):
            one, two = (run / f"{name}.safetensors" for run in (tmp_path / "whole", folder))
            assert one.read_bytes() == two.read_bytes(), (place, written, name)
        assert rows(tmp_path / "whole") == rows(folder)
    assert written == expected


def test_weights_of_another_epoch_are_replaced(
    config: Config, splits: Splits, tmp_path: Path
) -> None:
    train(config(), splits)
    expected = (tmp_path / "run/last.safetensors").read_bytes()
    ahead = config(out=str(tmp_path / "ahead"), stop_after=1)
    train(ahead, splits)
    for name in ("last", "best"):
        (tmp_path / f"ahead/{name}.safetensors").write_bytes(expected)
    train(replace(ahead, stop_after=None, resume=True), splits)
    assert (tmp_path / "ahead/last.safetensors").read_bytes() == expected


def test_what_a_killed_run_left_is_removed(config: Config, splits: Splits, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    mine = [folder / f".{name}.0123456789ab.tmp" for name in ("curves.png", "state.pt")]
    others = [folder / name for name in (".notes.tmp", "curves.png.0123456789ab.tmp")]
    for path in (*mine, *others):
        path.write_text("half")
    train(config(stop_after=1), splits)
    assert [path.exists() for path in (*mine, *others)] == [False, False, True, True]


def test_state_holds_no_code(config: Config, splits: Splits, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "owned",))

    train(config(stop_after=1), splits)
    state = torch.load(tmp_path / "run/state.pt", weights_only=True)
    torch.save({**state, "epoch": Evil()}, tmp_path / "run/state.pt")
    with pytest.raises(CheckpointError, match="damaged"):
        train(config(resume=True), splits)
    assert not (tmp_path / "owned").exists()


def test_result_says_where_it_comes_from(config: Config, splits: Splits, tmp_path: Path) -> None:
    result = train(config(stop_after=2), splits)
    written = json.loads((tmp_path / "run/result.json").read_text())
    assert written == result.summary
    for key in ("command", "commit", "versions", "device", "date", "epoch_seconds"):
        assert key in written
    assert written["parameters"] == sum(p.numel() for p in result.model.parameters())
    assert written["validation"]["num_shapes"] == 9
