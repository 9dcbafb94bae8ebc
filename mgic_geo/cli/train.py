"""Train a classifier of clouds, images or pixels: mgic-geo train [CONFIG] [--option value].

Without arguments it trains on Furniture-10, made on the spot, and prints the test accuracy.
"""

from __future__ import annotations

import sys

from accelerate import PartialState
from jsonargparse import ArgumentParser, Namespace

from mgic_geo.training import AugmentConfig, ImageConfig, TrainConfig, TrainResult, train

_LARGEST = 50  # classes whose confusion matrix can be drawn


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--config", action="config", help="YAML file of options")
    parser.add_class_arguments(TrainConfig, as_group=False)


def run(options: Namespace) -> None:
    options.pop("config", None)
    # plain dataclasses all the way down: the parser leaves the nested ones as namespaces, which a
    # saved state must not hold
    augment = AugmentConfig(**vars(options.pop("augment")))
    image = ImageConfig(**vars(options.pop("image")))
    config = TrainConfig(augment=augment, image=image, **vars(options))
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
            part, unit = summary[name], result.task.unit
            print(
                f"{name} {result.task.scores.describe(part)} "
                f"({part[f'num_{unit}']} {unit}, epoch {summary['chosen_epoch']})"
            )
    print(f"weights, metrics and config are in {result.run.path}")
    try:
        from mgic_geo.viz import plot_confusion, plot_curves

        plot_curves(result.run.path / "metrics.csv", result.run.path / "curves.png")
        if result.matrix is not None and len(result.classes) <= _LARGEST:
            matrix, path = result.matrix.matrix, result.run.path / "confusion.png"
            plot_confusion(matrix, result.classes, path, result.task.counts)
    except ImportError as error:
        print(f"no pictures: {error}", file=sys.stderr)
