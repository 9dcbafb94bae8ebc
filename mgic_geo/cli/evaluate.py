"""Measure weights on labelled clouds, images or pixels: the figures in all and for each class.

Without arguments: the shipped weights on the test split of ModelNet-10. Clouds: accuracy and
confusion matrix; clouds with a class for each point, and images with masks: intersection over
union; images: top-1 and top-5 accuracy.
Classes are matched by name. The same files give the same figures every time.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace

from mgic_geo.cli._classes import match_classes
from mgic_geo.cli._corruptions import add_corruption_arguments, corruptions
from mgic_geo.cli._images import evaluate
from mgic_geo.cli._labelled import open_labelled
from mgic_geo.cli._output import percent, print_json, print_table
from mgic_geo.cli._report import add_report_argument, check_report, write_evaluation
from mgic_geo.cli._weights import Loaded, add_weights_arguments, load_weights
from mgic_geo.datasets import NAMED_DATASETS, CloudDataset, novel_split
from mgic_geo.errors import DataError
from mgic_geo.training import (
    Calibration,
    Clouds,
    ConfusionMatrix,
    predict_logits,
    split_by_name,
    to_clouds,
)


def add_arguments(parser: ArgumentParser) -> None:
    add_data_arguments(parser, "modelnet10")
    add_corruption_arguments(parser)
    add_weights_arguments(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the corruptions")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode images")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--pictures", metavar="FOLDER", help="draw confusion matrix, reliability and mistakes"
    )
    add_report_argument(parser)


def add_data_arguments(parser: ArgumentParser, data: str | None) -> None:
    """Which labelled clouds or images."""
    parser.add_argument(
        "--data",
        default=data,
        help=f"{', '.join(NAMED_DATASETS)}, an npz file, a folder, or a zip of images",
    )
    parser.add_argument("--source", help="where a data set with a name lies, if not in the root")
    parser.add_argument(
        "--split",
        help="train, val or test (default: test, or val where the test has no labels; all of what "
        "has no splits)",
    )
    parser.add_argument(
        "--val_fraction",
        type=float,
        help="only this share of each class, the last by name: what a training run set aside (with "
        "its val_fraction, from its data) to choose the epoch by; of a data set with a name it is "
        "taken from the training split",
    )
    parser.add_argument(
        "--fold",
        type=int,
        help="of clouds: only what a training run with this fold was judged by, shapes that have "
        "no near copy among those it was trained on",
    )
    parser.add_argument("--root", default="datasets", help="folder for downloads and caches")
    parser.add_argument("--num_points", type=int, help="points a cloud (default: as trained)")


def run(options: Namespace) -> int:
    loaded = load_weights(options)
    check_report(options, loaded)
    if loaded.info.data == "point_labels":
        from mgic_geo.cli import _points

        return _points.evaluate(loaded, options)
    return (_clouds if loaded.info.data == "clouds" else evaluate)(loaded, options)


def labelled_clouds(loaded: Loaded, options: Namespace) -> tuple[Clouds, list[str], int]:
    """The clouds that the options name, labelled by the classes of the weights; names and size."""
    info = loaded.info
    dataset = open_labelled(info, options)
    if not isinstance(dataset, CloudDataset):
        raise DataError(f"{options.data} holds images, and {options.weights} are weights of clouds")
    label = match_classes(dataset.classes, info.classes, options.data)[dataset.labels]
    clouds, names = Clouds(to_clouds(dataset).pos, label), list(dataset.names)
    part = None
    if options.fold is not None:
        part = novel_split(clouds.pos[..., :3], clouds.label, dataset.names, options.fold)[1]
    elif options.val_fraction is not None:
        part = split_by_name(dataset, options.val_fraction)[1]
    if part is not None:
        clouds = Clouds(clouds.pos[part], clouds.label[part])
        names = [names[i] for i in part]
    return clouds, names, dataset.num_points


def _clouds(loaded: Loaded, options: Namespace) -> int:
    info = loaded.info
    clouds, names, num_points = labelled_clouds(loaded, options)
    if options.corruptions:
        return corruptions(loaded.model, info.classes, clouds, options)
    start = time.perf_counter()
    logits = predict_logits(loaded.model, clouds.pos, options.device)
    seconds = time.perf_counter() - start
    predicted = logits.argmax(dim=1)
    plain = Calibration.of(logits, clouds.label)
    calibrated = Calibration.of(logits, clouds.label, info.temperature)
    matrix = ConfusionMatrix(len(info.classes))
    matrix.update(predicted, clouds.label)
    summary = matrix.summary(info.classes) | {
        "data": options.data,
        "weights": options.weights,
        "model": info.model,
        "parameters": loaded.parameters,
        "num_points": num_points,
        "temperature": info.temperature,
        "expected_calibration_error": round(calibrated.error, 6),
        "uncalibrated_expected_calibration_error": round(plain.error, 6),
    }
    if options.json:
        print_json(summary)
    else:
        _print(summary)
    if options.pictures:
        _draw(Path(options.pictures), matrix, clouds, predicted, info.classes)
        _draw_reliability(Path(options.pictures), plain, calibrated)
    if options.report:
        write_evaluation(options, loaded, clouds.pos, clouds.label, names, logits, seconds)
    return 0


def _print(summary: dict[str, Any]) -> None:
    shares, counts = summary["per_class_accuracy"], summary["confusion_matrix"]
    rows = [
        [name, percent(share), sum(row), *row]
        for (name, share), row in zip(shares.items(), counts, strict=True)
    ]
    # the columns of the matrix: predicted classes, by the first letters of their names
    print_table(["true class", "accuracy", "shapes", *(name[:5] for name in shares)], rows)
    print(
        f"\naccuracy {percent(summary['accuracy'])}, "
        f"mean class accuracy {percent(summary['mean_class_accuracy'])} "
        f"({summary['num_shapes']} shapes, {summary['num_points']} points each)"
    )
    error = percent(summary["expected_calibration_error"])
    if summary["temperature"] == 1.0:
        print(f"expected calibration error {error} (not calibrated)")
    else:
        plain = percent(summary["uncalibrated_expected_calibration_error"])
        print(
            f"expected calibration error {error} at temperature {summary['temperature']:.4g}, "
            f"{plain} without"
        )


def _draw(
    folder: Path,
    matrix: ConfusionMatrix,
    clouds: Clouds,
    predicted: torch.Tensor,
    classes: tuple[str, ...],
) -> None:
    from mgic_geo.viz import plot_clouds, plot_confusion

    plot_confusion(matrix.matrix, classes, folder / "confusion.png")
    wrong = (predicted != clouds.label).nonzero().flatten().tolist()[:15]
    if wrong:
        texts = [f"{classes[clouds.label[i]]}\ntaken for {classes[predicted[i]]}" for i in wrong]
        plot_clouds([clouds.pos[i, :, :3] for i in wrong], texts, folder / "mistakes.png")


def _draw_reliability(folder: Path, plain: Calibration, calibrated: Calibration) -> None:
    from mgic_geo.viz import plot_reliability

    panels = {"as trained": plain}
    if calibrated.temperature != 1.0:
        panels["calibrated"] = calibrated
    plot_reliability(panels, folder / "reliability.png")
