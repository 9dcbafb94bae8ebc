from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mgic_geo.errors import DataError
from mgic_geo.transforms.images import (
    Augmented,
    color_jitter,
    item_generator,
    random_crop,
    random_flip,
    seed_worker,
)

# Python 3.12 warns of every fork beside threads, and torch always has some
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


class Items(Dataset[tuple[Tensor, int]]):
    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        assert 0 <= index < 7
        generator = torch.Generator().manual_seed(index)
        return torch.randint(0, 256, (3, 6, 6), dtype=torch.uint8, generator=generator), index


class GlobalDraws(Items):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.tensor([random.random(), np.random.rand()]), index  # noqa: NPY002


def change(image: Tensor, target: int, generator: torch.Generator) -> tuple[Tensor, int]:
    image = random_flip(random_crop(image, 2, generator), generator)
    return color_jitter(image, generator, brightness=0.5), target


def epoch(data: Augmented, loader: DataLoader[Any], number: int) -> Tensor:
    data.set_epoch(number)
    return torch.cat([images for images, _ in loader])


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_do_not_change_what_is_drawn(persistent: bool) -> None:
    data = Augmented(Items(), change, seed=5)
    alone = DataLoader(data, batch_size=3)
    shared = DataLoader(
        data,
        batch_size=2,
        num_workers=2,
        persistent_workers=persistent,
        worker_init_fn=seed_worker,
        multiprocessing_context="fork",
    )
    expected = [epoch(data, alone, number) for number in (0, 1, 0)]
    assert torch.equal(expected[0], expected[2])
    assert not torch.equal(expected[0], expected[1])
    for number in (0, 1):
        assert torch.equal(epoch(data, shared, number), expected[number])


def test_draws_follow_from_seed_epoch_and_index() -> None:
    def noise(image: Tensor, target: int, generator: torch.Generator) -> tuple[Tensor, int]:
        return torch.rand(2, generator=generator), target

    seen = set()
    for seed in (0, 1):
        data = Augmented(Items(), noise, seed)
        for number in (0, 1):
            data.set_epoch(number)
            assert data.epoch == number
            items = [data[i] for i in (6, 0, 3)]
            assert [target for _, target in items] == [6, 0, 3]
            assert torch.equal(items[0][0], data[-1][0])
            seen |= {tuple(draw.tolist()) for draw, _ in items}
    assert len(seen) == 12
    first = torch.rand(3, generator=item_generator(1, 2, 3))
    assert torch.equal(first, torch.rand(3, generator=item_generator(1, 2, 3)))


def test_it_is_a_data_set_that_ends() -> None:
    data = Augmented(Items(), lambda image, target, generator: (image, target))
    assert len(data) == 7
    with pytest.raises(IndexError):
        data[7]
    assert [target for _, target in data] == list(range(7))


def test_global_generators_of_workers_are_seeded() -> None:
    def draws(seed: int) -> Tensor:
        loader = DataLoader(
            GlobalDraws(),
            batch_size=1,
            num_workers=2,
            worker_init_fn=seed_worker,
            generator=torch.Generator().manual_seed(seed),
            multiprocessing_context="fork",
        )
        return torch.cat([values for values, _ in loader])

    first = draws(0)
    assert torch.equal(first, draws(0))
    assert not torch.equal(first, draws(1))
    assert len(first.flatten().unique()) == 14  # the two workers draw differently


def test_wrong_arguments() -> None:
    with pytest.raises(DataError, match="seed must be at least 0, got -1"):
        Augmented(Items(), change, -1)
    with pytest.raises(DataError, match="epoch must be at least 0, got -1"):
        Augmented(Items(), change).set_epoch(-1)
