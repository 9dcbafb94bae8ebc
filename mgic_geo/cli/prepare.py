"""Download and process a data set, so that training and evaluation start at once.

A shape that cannot be used is left out and named at the end; with --strict it stops the command.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from mgic_geo.datasets import NAMED_DATASETS, CloudDataset, Furniture10, open_dataset
from mgic_geo.errors import DataError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("dataset", help="modelnet10, furniture10, an npz file, or a folder")
    parser.add_argument("--root", default="datasets", help="folder for downloads and caches")
    parser.add_argument(
        "--source", help="ModelNet-10 as OFF tree, zip, PCD tree or npz; default: root, download"
    )
    parser.add_argument("--split", choices=["train", "test", "both"], default="both")
    parser.add_argument("--num_points", type=int, default=1024, help="points a cloud")
    parser.add_argument("--sampling", choices=["surface", "fps", "poisson"], default="surface")
    parser.add_argument("--workers", type=int, help="processes (default: as many as pay)")
    parser.add_argument("--strict", action="store_true", help="stop at the first unusable shape")
    parser.add_argument(
        "--off", action="store_true", help="furniture10: write the meshes as an OFF tree instead"
    )


def run(options: Namespace) -> int:
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
        splits = ["train", "test"] if named else [None]  # None: all that is there
    for split in splits:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the report below is complete
            dataset = _open(options, split)
        bad = getattr(dataset, "bad_files", ())
        print(
            f"{split or options.dataset}: {len(dataset)} shapes of {dataset.num_points} points in "
            f"{dataset.num_classes} classes" + (f", {len(bad)} left out" if bad else "")
        )
        for name, reason in bad:
            print(f"left out {name}: {reason}", file=sys.stderr)
    return 0


def _open(options: Namespace, split: str | None) -> CloudDataset:
    if options.dataset == "furniture10":  # which open_dataset makes in memory
        root = Path(options.root) / "furniture10"
        return Furniture10(root, str(split), num_points=options.num_points)
    settings: dict[str, Any] = {
        name: options[name] for name in ("num_points", "sampling", "workers", "strict")
    }
    if options.dataset == "modelnet10":
        settings["source"] = options.source
    elif options.source is not None:
        raise DataError(f"--source is for modelnet10; {options.dataset} is its own source")
    return open_dataset(options.dataset, options.root, split, **settings)


def _check_furniture(options: Namespace) -> None:
    if options.dataset != "furniture10":
        raise DataError(f"--off is for furniture10, not {options.dataset}")
    if options.source is not None or options.sampling != "surface":
        raise DataError("furniture10 is made on the spot: --source and --sampling do not apply")
