from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mgic_geo import __version__
from mgic_geo.cli import main, models
from mgic_geo.cli.main import COMMANDS

Cli = Callable[..., Any]
START = "import sys; from mgic_geo.cli import main; code = main()"


def test_help_lists_the_commands(cli: Cli) -> None:
    done = cli("--help")
    assert done.code == 0
    assert all(f"    {name} " in done.out and text in done.out for name, text in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(cli: Cli, name: str) -> None:
    done = cli(name, "--help")
    assert done.code == 0
    assert done.out.startswith(f"usage: mgic-geo {name}")


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"mgic-geo {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("predict",),
        ("profile",),
        ("predict", "a.off", "--up", "w"),
        ("models", "--colour"),
        ("train", "--epochs", "many"),
        ("prepare", "furniture10", "--split", "half"),
    ],
)
def test_wrong_use(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "usage: mgic-geo" in done.err


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyboardInterrupt(), "mgic-geo: interrupted"),
        (ValueError("width = 7: no"), "mgic-geo: width = 7: no"),
        (PermissionError(13, "Permission denied", "a/b"), "mgic-geo: a/b: Permission denied"),
        (RuntimeError("boom"), "mgic-geo: RuntimeError: boom (MGIC_GEO_DEBUG=1 shows where)"),
    ],
)
def test_failures_print_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: BaseException, text: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(models, "run", fail)
    done = cli("models")
    assert (done.code, done.out, done.err) == (1, "", f"{text}\n")
    if isinstance(error, Exception):
        monkeypatch.setenv("MGIC_GEO_DEBUG", "1")
        with pytest.raises(type(error)):
            main(["models"])


def test_help_needs_no_heavy_import() -> None:
    program = START + "; print(sorted({'torch', 'numpy', 'jsonargparse'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("\n[]\n")


def test_reader_that_goes_away() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", START + "; sys.exit(code)", "models", "dgcnn"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
