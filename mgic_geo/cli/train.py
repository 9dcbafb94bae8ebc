"""Train a classifier: mgic-geo train [CONFIG] [--option value].

Without arguments it trains on Furniture-10, made on the spot, and prints the test accuracy.
"""

from __future__ import annotations

import sys

from accelerate import PartialState
from jsonargparse import ArgumentParser, Namespace

from mgic_geo.training import AugmentConfig, TrainConfig, TrainResult, train


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--config", action="config", help="YAML file of options")
    parser.add_class_arguments(TrainConfig, as_group=False)


def run(options: Namespace) -> None:
    options.pop("config", None)
    # plain dataclasses all the way down: the parser leaves the nested one as a namespace, which a
    # saved state must not hold
    augment = AugmentConfig(**vars(options.pop("augment")))
    config = TrainConfig(augment=augment, **vars(options))
    try:
        result = train(config)
    except KeyboardInterrupt:
        again = f"mgic-geo train {config.folder / 'config.yaml'} --resume true"
        print(f"interrupted: go on with  {again}", file=sys.stderr)
        raise
    if PartialState().is_main_process:
        _report(result)


def _report(result: TrainResult) -> None:
    summary = result.summary
    for name in ("validation", "test"):
        if name in summary:
            part = summary[name]
            print(
                f"{name} accuracy {100 * part['accuracy']:.2f} %, "
                f"mean class accuracy {100 * part['mean_class_accuracy']:.2f} % "
                f"({part['num_shapes']} shapes, epoch {summary['chosen_epoch']})"
            )
    print(f"weights, metrics and config are in {result.run.path}")
    try:
        from mgic_geo.viz import plot_confusion, plot_curves

        plot_curves(result.run.path / "metrics.csv", result.run.path / "curves.png")
        if result.matrix is not None:
            matrix = result.matrix.matrix
            plot_confusion(matrix, result.classes, result.run.path / "confusion.png")
    except ImportError as error:
        print(f"no pictures: {error}", file=sys.stderr)
