"""Commands, exit codes and error messages of ``mgic-geo``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from jsonargparse import ArgumentParser

from mgic_geo import __version__

# A module each in this folder, with add_arguments(parser) and run(namespace).
COMMANDS = ("train",)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns 0 when done, 1 when it failed, 2 for wrong use.

    A failure that the user can mend prints its message alone; ``MGIC_GEO_DEBUG=1`` adds the traceback.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = ArgumentParser(
        prog="mgic-geo",
        description="Wide networks at linear cost: train, evaluate and apply MGIC networks.",
        version=__version__,
    )
    commands = parser.add_subcommands(dest="command")
    modules = {name: import_module(f"mgic_geo.cli.{name}") for name in COMMANDS}
    for name, module in modules.items():
        sub = ArgumentParser(description=module.__doc__)
        module.add_arguments(sub)
        commands.add_subcommand(name, sub, help=module.__doc__.partition("\n")[0])
    try:
        namespace = parser.parse_args(_config_option(arguments))
        modules[namespace.command].run(namespace[namespace.command])
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        print("mgic-geo: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output has gone; nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("MGIC_GEO_DEBUG"):
            raise
        print(f"mgic-geo: {error}", file=sys.stderr)
        return 1
    return 0


def _config_option(arguments: list[str]) -> list[str]:
    """``train FILE --option value`` as ``train --config FILE --option value``."""
    if len(arguments) > 1 and arguments[0] == "train" and not arguments[1].startswith("-"):
        return ["train", "--config", *arguments[1:]]
    return arguments
