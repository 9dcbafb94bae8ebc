"""What `evaluate` and `predict` do with weights that give points a class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from torch import nn

from mgic_geo._first_calls import WORTH
from mgic_geo.cli._classes import match_classes
from mgic_geo.cli._labelled import open_labelled
from mgic_geo.cli._output import percent, print_json, print_table
from mgic_geo.cli._weights import Loaded
from mgic_geo.datasets import PointLabelDataset
from mgic_geo.errors import DataError
from mgic_geo.models import WeightsInfo
from mgic_geo.segmentation import segment_points
from mgic_geo.training import (
    PointLabels,
    PointScores,
    evaluate_points,
    predict_logits,
    split_by_name,
    to_clouds,
)
from mgic_geo.training._evaluate_points import NO_CLASS, predict_points

_DRAWN = 10


def evaluate(loaded: Loaded, options: Namespace) -> int:
    """Prints the figures of a model on clouds whose points have classes."""
    info = loaded.info
    clouds, names, count = _open(info, options)
    scores = evaluate_points(loaded.model, clouds, len(info.classes), options.device)
    summary = scores.summary(info.classes) | {
        "data": options.data,
        "weights": options.weights,
        "model": info.model,
        "parameters": loaded.parameters,
        "num_points": count,
    }
    if options.json:
        print_json(summary)
    else:
        _print(summary, clouds, scores)
    if options.pictures:
        _draw(Path(options.pictures), scores, loaded.model, info, clouds, names, options.device)
    return 0


def segment_file(
    model: nn.Module, info: WeightsInfo, file: str, options: Namespace
) -> dict[str, Any]:
    """Writes the labelled cloud of a shape; the shares of its classes, for JSON."""
    from mgic_geo.io import write_ply
    from mgic_geo.viz import class_colors

    path = _target(file, options)
    found = segment_points(
        file,
        (model, info),
        num_points=options.num_points,
        seed=options.seed,
        up=options.up,
        device=options.device,
        compiled=len(options.files) >= WORTH,
    )
    colors = class_colors(len(info.classes))[found.label]
    names = [f"label {number} {name}" for number, name in enumerate(info.classes)]
    write_ply(path, found.points, colors, found.label, names)
    shares = [{"class": name, "share": round(s, 6)} for name, s in found.shares.items()]
    return {
        "file": file,
        "labelled": str(path),
        "shares": shares,
        "kind": found.kind,
        "num_points": len(found.label),
        "judged_points": found.judged,
    }


def _target(file: str, options: Namespace) -> Path:
    """Where the labelled cloud goes."""
    name = f"{Path(file).name.removesuffix('.gz').rpartition('.')[0]}_labelled.ply"
    if options.out is None:
        return Path(file).with_name(name)
    if not options.out.lower().endswith(".ply"):
        return Path(options.out) / name
    if len(options.files) > 1:
        raise DataError(f"--out {options.out} is one file, for {len(options.files)}; name a folder")
    if Path(options.out).exists() and Path(options.out).samefile(file):
        raise DataError(f"--out {options.out} is the cloud itself; name another file")
    return Path(options.out)


def _open(info: WeightsInfo, options: Namespace) -> tuple[PointLabels, tuple[str, ...], int]:
    """The clouds, their classes numbered as those of the weights, their names and size."""
    if options.fold is not None:
        raise DataError("--fold is for clouds with one class each; use --val_fraction")
    if options.corruptions:
        raise DataError("--corruptions is for clouds with one class each")
    dataset = open_labelled(info, options)
    if not isinstance(dataset, PointLabelDataset):
        raise DataError(
            f"{options.data}: the weights {options.weights} need clouds with a class for each "
            "point, such as furniture10-parts, shapenet-part, s3dis or an npz with point_label"
        )
    clouds, names = to_clouds(dataset), dataset.names
    assert isinstance(clouds, PointLabels)
    if options.val_fraction is not None:
        part = split_by_name(dataset, options.val_fraction)[1]
        clouds, names = clouds.take(part), tuple(names[i] for i in part.tolist())
    index = match_classes(dataset.classes, info.classes, options.data)
    label = clouds.point_label
    label = torch.where(label == NO_CLASS, NO_CLASS, index[label])
    allowed = None
    if clouds.allowed is not None:
        allowed = torch.zeros(len(clouds.categories), len(info.classes), dtype=torch.bool)
        allowed[:, index] = clouds.allowed
    return replace(clouds, point_label=label, allowed=allowed), names, dataset.num_points


def _print(summary: dict[str, Any], clouds: PointLabels, scores: PointScores) -> None:
    counts = [sum(row) for row in summary["confusion_matrix"]]
    print_table(
        ["class", "IoU", "accuracy", "points"],
        [
            [name, percent(iou), percent(summary["per_class_accuracy"][name]), count]
            for (name, iou), count in zip(summary["per_class_iou"].items(), counts, strict=True)
        ],
    )
    if len(clouds.categories) > 1:
        print()
        rows = [
            [name, percent(iou), int((clouds.label == number).sum())]
            for number, (name, iou) in enumerate(summary["per_category_iou"].items())
        ]
        print_table(["shapes", "mean IoU", "number"], [row for row in rows if row[2]])
    print(
        f"\n{scores.describe(summary)} "
        f"({summary['num_shapes']} shapes, {summary['num_points']} points each)"
    )


def _draw(
    folder: Path,
    scores: PointScores,
    model: nn.Module,
    info: WeightsInfo,
    clouds: PointLabels,
    names: tuple[str, ...],
    device: str,
) -> None:
    """The confusion matrix, and the worst shapes with their true and their predicted classes."""
    from mgic_geo.viz import plot_confusion, plot_point_labels

    plot_confusion(scores.matrix.matrix, info.classes, folder / "confusion.png", "points")
    worst = scores.shape_ious.nan_to_num(1.0).argsort()[:_DRAWN]
    part = clouds.take(worst)
    predicted = predict_points(predict_logits(model, part.pos, device), part)
    titles = [f"{names[i]}\n{percent(float(scores.shape_ious[i]))}" for i in worst.tolist()]
    shown = [pos[:, :3] for pos in part.pos]
    for name, labels in (("predicted", predicted), ("true", part.point_label)):
        plot_point_labels(shown, list(labels), info.classes, folder / f"worst_{name}.png", titles)
