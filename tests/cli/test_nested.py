from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from mgic_geo.cli import train
from mgic_geo.cli._nested import nested, parse


def options(*arguments: str) -> Any:
    parser = ArgumentParser()
    train.add_arguments(parser)
    return parse(parser, arguments).model_options


def test_values_deep_inside_are_set_one_by_one(tmp_path: Path) -> None:
    words = ("--model_options.a.x", "1", "--model_options.a.y.z=0.5", "--model_options.b", "no")
    assert options(*words) == {"a": {"x": 1, "y": {"z": 0.5}}, "b": False}
    (tmp_path / "c.yaml").write_text("model_options: {a: {x: 3, w: text}, c: 4}\n")
    assert options("--config", str(tmp_path / "c.yaml"), *words) == {
        "a": {"x": 1, "w": "text", "y": {"z": 0.5}},
        "b": False,
        "c": 4,
    }
    assert options("--model_options.a", "{x: 3}", "--model_options.a.y", "2") == {
        "a": {"x": 3, "y": 2}
    }


def test_only_options_have_dots_inside() -> None:
    with pytest.raises(SystemExit) as stop:
        options("--image.flip.x", "1")
    assert stop.value.code == 2
    assert options("--model_options.a", "x--b.c.d") == {"a": "x--b.c.d"}


def test_paths() -> None:
    given = {"a": {"x": 1}, "a.y": 2, "b": None, "b.z": 3}
    assert nested(given) == {"a": {"x": 1, "y": 2}, "b": {"z": 3}}
    assert given["a"] == {"x": 1}
    with pytest.raises(ValueError, match="a = 1 is one value: it has no x"):
        nested({"a": 1, "a.x": 2})
