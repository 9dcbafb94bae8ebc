"""Real inputs of a data set, as a model takes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mgic_geo.datasets import CloudDataset, open_dataset
from mgic_geo.errors import DataError
from mgic_geo.models import WeightsInfo
from mgic_geo.training.data import to_clouds
from mgic_geo.training.preprocess import Preprocess


def open_inputs(
    data: str, info: WeightsInfo, who: str, root: str, split: str | None, source: str | None
) -> Any:
    """The data set.

    Raises:
        DataError: The model is for other data.
    """
    settings = {} if source is None else {"source": source}
    dataset = open_dataset(data, root, split, info.num_points or 1024, **settings)
    clouds = isinstance(dataset, CloudDataset)
    if info.data == "point_labels" or clouds != (info.data == "clouds"):
        raise DataError(f"{data}: {who} takes {info.data}")
    return dataset


def take_inputs(dataset: Any, index: Tensor, info: WeightsInfo) -> Tensor:
    """Clouds ``[B, n, 3 + F]``, or images ``[B, C, H, W]`` as the model wants them."""
    if isinstance(dataset, CloudDataset):
        return to_clouds(dataset).pos[index]
    prepare = Preprocess.of(info)
    whole = (prepare.crop(dataset[i][0])[None] for i in index.tolist())
    return torch.cat([prepare.normalize(image) for image in whole])


def some_of(index: Tensor, count: int) -> Tensor:
    """So many of them in a random order, always the same."""
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(0))
    return index[order[:count]]
