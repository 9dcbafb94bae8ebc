"""The labelled clouds that weights are measured on."""

from __future__ import annotations

from typing import Any

from jsonargparse import Namespace

from mgic_geo.datasets import NAMED_DATASETS, open_dataset
from mgic_geo.models import WeightsInfo


def open_labelled(info: WeightsInfo, options: Namespace) -> Any:
    """The data set that the options name, with the points and features that the weights take.

    Of a set with a name the test split is measured, or the training split where a part of it was
    asked for that a run set aside.
    """
    count = info.num_points if options.num_points is None else options.num_points
    whole = options.val_fraction is None and options.fold is None
    measured = "test" if whole else "train"
    split = options.split or (measured if options.data in NAMED_DATASETS else None)
    settings = {} if options.source is None else {"source": options.source}
    if info.features:
        settings["features"] = ",".join(info.features)
    return open_dataset(options.data, options.root, split, count, **settings)
