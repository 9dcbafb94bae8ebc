"""The command line of an experiment."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mgic_geo.errors import MgicGeoError

from ._experiment import Context, Experiment
from ._report import write_report


def parser(description: str, one: bool) -> argparse.ArgumentParser:
    """The options that every program takes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--full", action="store_true", help="the paper's schedule")
    made.add_argument("--quick", action="store_true", help="tiny sizes, for tests")
    made.add_argument("--seeds", type=int, help="number of seeds")
    made.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="DATA=PATH",
        help="where a data set lies, for example cifar10=FILE.zip",
    )
    made.add_argument("--out", type=Path, default=Path("results"), help="rows and pictures")
    made.add_argument("--runs", type=Path, default=Path("runs/experiments"), help="training runs")
    if one:
        made.add_argument("rows", nargs="*", metavar="ROW", help="rows, or patterns; all if none")
    return made


def contexts(experiments: Sequence[Experiment], args: argparse.Namespace) -> list[Context]:
    """The contexts of experiments for one command line.

    Raises:
        MgicGeoError: A source is not ``DATA=PATH``.
    """
    sources = dict(item.partition("=")[::2] for item in args.source)
    if not all(sources.values()):
        raise MgicGeoError("--source takes DATA=PATH, for example cifar10=FILE.zip")
    # a quick run is no result, and must not stand beside results
    out = args.runs / "quick" if args.quick and args.out == Path("results") else args.out
    return [
        Context(
            experiment,
            args.full,
            args.quick,
            getattr(args, "rows", ()),
            args.seeds,
            sources,
            out,
            args.runs,
        )
        for experiment in experiments
    ]


def program(experiment: Experiment, argv: Sequence[str] | None = None) -> int:
    """Runs one experiment from the command line and writes the report anew."""
    args = parser(experiment.title, one=True).parse_args(argv)
    try:
        [context] = contexts([experiment], args)
        experiment.run(context)
    except (MgicGeoError, ImportError, OSError) as error:
        print(f"{experiment.name}: {error}", file=sys.stderr)
        return 1
    write_report(context.out)
    return 0
