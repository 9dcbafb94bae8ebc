"""Commands, exit codes and error messages of ``mgic-geo``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

from mgic_geo import __version__
from mgic_geo.cli._output import message

# A module each in this folder, with add_arguments(parser) and run(options), which may return an
# exit code. Only the chosen one is imported, so that help and wrong use are answered at once.
COMMANDS = {
    "train": "train a classifier",
    "evaluate": "measure weights on labelled clouds or images",
    "predict": "classify meshes, clouds and images",
    "calibrate": "make probabilities mean what they say",
    "export": "write a model for other engines, checked",
    "compress": "bring a network into the channel hierarchy",
    "profile": "count parameters and multiply-accumulates of each layer",
    "models": "list the models",
    "prepare": "download and process a data set",
    "doctor": "say what is installed, what runs and what is missing",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns 0 when done, 1 when it failed, 2 for wrong use.

    A failure prints its message alone; with ``MGIC_GEO_DEBUG=1`` it is raised, with its traceback.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("always", category=UserWarning, module=r"mgic_geo\.")
            warnings.showwarning = _show_warning
            return _run(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        print("mgic-geo: interrupted", file=sys.stderr)
    except BrokenPipeError:
        # The reader of our output has gone; nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("MGIC_GEO_DEBUG"):
            raise
        print(f"mgic-geo: {message(error)}", file=sys.stderr)
    except Exception as error:
        if os.environ.get("MGIC_GEO_DEBUG"):
            raise
        text = f"mgic-geo: {type(error).__name__}: {error} (MGIC_GEO_DEBUG=1 shows where)"
        print(text, file=sys.stderr)
    return 1


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in COMMANDS:
        _top_parser().parse_args(arguments)  # help, version or wrong use: it does not come back
        return 2
    from jsonargparse import ArgumentParser

    from mgic_geo.cli._nested import parse

    name, *rest = arguments
    module = import_module(f"mgic_geo.cli.{name}")
    parser = ArgumentParser(prog=f"mgic-geo {name}", description=module.__doc__)
    module.add_arguments(parser)
    if name == "train" and rest and not rest[0].startswith("-"):
        rest = ["--config", *rest]
    code = module.run(parse(parser, rest))
    sys.stdout.flush()  # a reader that has gone is noticed here, not at the exit
    return code or 0


class _Help(argparse.HelpFormatter):
    """Leaves room for the longest command, which argparse forgets to indent."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = max(map(len, COMMANDS)) + 4


def _top_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mgic-geo",
        formatter_class=_Help,
        description="Wide networks at linear cost: train, evaluate and apply MGIC networks.",
        epilog="mgic-geo COMMAND --help tells more. Exit codes: 0 done, 1 failed, 2 wrong use.",
    )
    parser.add_argument("--version", action="version", version=f"mgic-geo {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"mgic-geo: warning: {message}", file=sys.stderr)
