"""What `evaluate` and `predict` do with weights for images."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from torch import Tensor, nn

from mgic_geo.cli._classes import match_classes
from mgic_geo.cli._likely import likely_as_json
from mgic_geo.cli._output import percent, print_json, print_table
from mgic_geo.cli._weights import Loaded
from mgic_geo.datasets import CloudDataset, open_dataset
from mgic_geo.datasets.images import ImageDataset, read_image
from mgic_geo.errors import DataError
from mgic_geo.inference import most_likely
from mgic_geo.models import WeightsInfo
from mgic_geo.training import (
    ImageScores,
    Preprocess,
    Scores,
    SegmentationScores,
    classify,
    evaluate_images,
    evaluate_segmentation,
    segment,
    split_by_name,
)

# The split that is measured of a data set with a name; the tests of some have no labels.
_SPLITS = {"cifar10": "test", "cifar100": "test", "camvid": "test"}
_SPLITS |= {"cityscapes": "val", "imagenet": "val"}
_LARGEST = 50  # classes whose confusion matrix can be drawn
_SHOWN = 20  # and printed
_OVERLAYS = 8


def evaluate(loaded: Loaded, options: Namespace) -> int:
    """Prints the figures of a model on labelled images, or on images with masks."""
    model, info = loaded.model, loaded.info
    dataset = _open(info, options)
    measure = evaluate_segmentation if info.task == "segmentation" else evaluate_images
    scores: Scores = measure(
        model, dataset, Preprocess.of(info), len(info.classes), options.device, options.workers
    )
    summary = scores.summary(info.classes)
    if options.json:
        origin = {
            "data": options.data,
            "weights": options.weights,
            "model": info.model,
            "parameters": loaded.parameters,
            "image_size": info.image_size,
        }
        print_json({**summary, **origin})
    elif isinstance(scores, SegmentationScores):
        _print_pixels(summary)
    else:
        _print_images(summary, scores)
    if not options.json:
        print(f"\n{scores.describe(summary)} ({summary['num_images']} images)")
    if options.pictures:
        _draw(Path(options.pictures), scores, model, info, dataset, options.device)
    return 0


def classify_file(
    model: nn.Module, info: WeightsInfo, file: str, options: Namespace
) -> dict[str, Any]:
    """The most likely classes of an image, for JSON."""
    logits = classify(model, read_image(file), Preprocess.of(info), options.device)
    likely = likely_as_json(most_likely(logits / info.temperature, info.classes))
    if likely["probability"] < options.min_confidence:
        likely["class"] = None
    return {"file": file, **likely, "kind": "image"}


def segment_file(
    model: nn.Module, info: WeightsInfo, file: str, options: Namespace
) -> dict[str, Any]:
    """Writes the overlay of an image; the shares of its classes, for JSON."""
    from mgic_geo.viz import draw_overlay

    image = read_image(file)
    mask = segment(model, image, Preprocess.of(info), options.device).argmax(dim=0).cpu()
    folder = Path(file).parent if options.out is None else Path(options.out)
    path = draw_overlay(image, mask, info.classes, folder / f"{Path(file).stem}_overlay.png")
    share = torch.bincount(mask.flatten(), minlength=len(info.classes)) / mask.numel()
    shares = [
        {"class": info.classes[i], "share": round(float(share[i]), 6)}
        for i in share.argsort(descending=True, stable=True).tolist()
        if share[i] > 0.0
    ]
    return {"file": file, "overlay": str(path), "shares": shares, "kind": "image"}


def _open(info: WeightsInfo, options: Namespace) -> ImageDataset:
    """The data set, its classes numbered as those of the weights."""
    settings = {} if options.source is None else {"source": options.source}
    split = options.split
    if split is None and options.val_fraction is None:
        folders = (name for name in ("test", "val") if (Path(options.data) / name).is_dir())
        split = _SPLITS.get(options.data) or next(folders, None)
    dataset = open_dataset(options.data, options.root, split, **settings)
    segmentation = info.task == "segmentation"
    if isinstance(dataset, CloudDataset) or segmentation != (dataset.kind == "segmentation"):
        wanted = "images with masks" if segmentation else "images with a class each"
        raise DataError(f"{options.data}: the weights {options.weights} need {wanted}")
    if options.val_fraction is not None:
        dataset = dataset.subset(split_by_name(dataset, options.val_fraction)[1].tolist())
    if dataset.classes == info.classes:
        return dataset
    index = match_classes(dataset.classes, info.classes, options.data)
    if segmentation:
        return _Renumbered(dataset, index)
    renumbered = copy.copy(dataset)
    assert dataset.labels is not None
    renumbered.labels = index[dataset.labels]
    return renumbered


class _Renumbered(ImageDataset):
    """Masks with other numbers for the classes."""

    def __init__(self, dataset: ImageDataset, index: Tensor) -> None:
        super().__init__(dataset.names, dataset.classes, None, ignore_index=255)
        self.dataset = dataset
        self.lookup = torch.full((256,), 255, dtype=torch.uint8)
        self.lookup[: len(index)] = index.to(torch.uint8)

    def _load(self, index: int) -> tuple[Tensor, Tensor | None]:
        image, mask = self.dataset[index]
        return image, self.lookup[mask.long()]


def _print_images(summary: dict[str, Any], scores: Scores) -> None:
    counts = scores.matrix.matrix.tolist()
    names = list(summary["per_class_accuracy"])
    columns = [name[:5] for name in names] if len(names) <= _SHOWN else []
    rows = [
        [name, percent(share), sum(row), *row[: len(columns)]]
        for (name, share), row in zip(summary["per_class_accuracy"].items(), counts, strict=True)
    ]
    print_table(["true class", "accuracy", "images", *columns], rows)


def _print_pixels(summary: dict[str, Any]) -> None:
    pixels = [sum(row) for row in summary["confusion_matrix"]]
    rows = [
        [name, percent(iou), percent(summary["per_class_accuracy"][name]), count]
        for (name, iou), count in zip(summary["per_class_iou"].items(), pixels, strict=True)
    ]
    print_table(["class", "IoU", "accuracy", "pixels"], rows)


def _draw(
    folder: Path,
    scores: Scores,
    model: nn.Module,
    info: WeightsInfo,
    dataset: ImageDataset,
    device: str,
) -> None:
    from mgic_geo.viz import draw_overlay, plot_confusion

    unit = "images" if isinstance(scores, ImageScores) else "pixels"
    if len(info.classes) <= _LARGEST:
        plot_confusion(scores.matrix.matrix, info.classes, folder / "confusion.png", unit)
    if unit == "pixels":
        for index in range(min(len(dataset), _OVERLAYS)):
            image, _ = dataset[index]
            mask = segment(model, image, Preprocess.of(info), device).argmax(dim=0).cpu()
            name = dataset.names[index].replace("/", "_")
            draw_overlay(image, mask, info.classes, folder / f"{name}_overlay.png")
