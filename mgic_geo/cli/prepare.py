"""Download and process a data set, so that training and evaluation start at once.

A shape or image that cannot be used is left out and named at the end; with --strict it stops the
command.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from mgic_geo.datasets import (
    NAMED_DATASETS,
    CloudDataset,
    Furniture10,
    ImageDataset,
    open_dataset,
)
from mgic_geo.datasets._open import is_image_data
from mgic_geo.errors import DataError

_WITH_SOURCE = ("modelnet10", "cifar10", "cifar100", "shapenet-part", "s3dis")
_POINT_LABELS = ("shapenet-part", "s3dis")
_WITHOUT_TEST = ("imagenet", "camvid", "cityscapes")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "dataset", help=f"{', '.join(NAMED_DATASETS)}, an npz file, a zip or a folder"
    )
    parser.add_argument("--root", default="datasets", help="folder for downloads and caches")
    parser.add_argument(
        "--source",
        help="ModelNet-10 as OFF tree, zip, PCD tree or npz, CIFAR as archive or images; default: "
        "root, download",
    )
    parser.add_argument(
        "--split",
        choices=["train", "val", "test", "both"],
        default="both",
        help="both: train and test, or train and val where the test split is not public",
    )
    parser.add_argument("--num_points", type=int, default=1024, help="points a cloud")
    parser.add_argument("--sampling", choices=["surface", "fps", "poisson"], default="surface")
    parser.add_argument(
        "--features", default="", help="also normals, colors, intensity, with commas between"
    )
    parser.add_argument("--workers", type=int, help="processes (default: as many as pay)")
    parser.add_argument("--strict", action="store_true", help="stop at the first unusable shape")
    parser.add_argument(
        "--off", action="store_true", help="furniture10: write the meshes as an OFF tree instead"
    )


def run(options: Namespace) -> int:
    if options.dataset == "furniture10-parts":
        raise DataError("furniture10-parts is made on the spot: there is nothing to prepare")
    if options.off or options.dataset == "furniture10":
        _check_furniture(options)
    if options.off:
        from mgic_geo.datasets.furniture import write_off_tree

        folder = Path(options.root) / "furniture10" / "raw"
        print(f"{len(write_off_tree(folder))} meshes are in {folder}")
        return 0
    splits: list[str | None] = [options.split]
    if options.split == "both":
        named = options.dataset in NAMED_DATASETS
        second = "val" if options.dataset in _WITHOUT_TEST else "test"
        splits = ["train", second] if named else [None]  # None: all that is there
    for split in splits:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the report below is complete
            dataset = _open(options, split)
        bad = getattr(dataset, "bad_files", ())
        what = "images"
        if isinstance(dataset, CloudDataset):
            what = f"shapes of {dataset.num_points} points"
        print(
            f"{split or options.dataset}: {len(dataset)} {what} in "
            f"{dataset.num_classes} classes" + (f", {len(bad)} left out" if bad else "")
        )
        for name, reason in bad:
            print(f"left out {name}: {reason}", file=sys.stderr)
    return 0


def _open(options: Namespace, split: str | None) -> CloudDataset | ImageDataset:
    if options.dataset == "furniture10":  # which open_dataset makes in memory
        root = Path(options.root) / "furniture10"
        return Furniture10(
            root, str(split), num_points=options.num_points, features=options.features
        )
    settings: dict[str, Any] = {"strict": options.strict}
    if options.dataset in _POINT_LABELS:
        if options.sampling != "surface":
            raise DataError(f"{options.dataset} holds clouds: --sampling does not apply")
        settings |= {name: options[name] for name in ("num_points", "features")}
    elif not is_image_data(options.dataset):
        names = ("num_points", "sampling", "workers", "features")
        settings |= {name: options[name] for name in names}
    elif options.features:
        raise DataError(f"--features is for shapes; {options.dataset} holds images")
    if options.dataset in _WITH_SOURCE:
        settings["source"] = options.source
    elif options.source is not None:
        raise DataError(
            f"--source is for {', '.join(_WITH_SOURCE)}; {options.dataset} is its own source"
        )
    dataset: CloudDataset | ImageDataset = open_dataset(
        options.dataset, options.root, split, **settings
    )
    return dataset


def _check_furniture(options: Namespace) -> None:
    if options.dataset != "furniture10":
        raise DataError(f"--off is for furniture10, not {options.dataset}")
    if options.source is not None or options.sampling != "surface":
        raise DataError("furniture10 is made on the spot: --source and --sampling do not apply")
