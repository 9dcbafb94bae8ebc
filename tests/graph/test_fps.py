from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.graph import fps
from mgic_geo.kernels import plain_torch
from mgic_geo.testing import random_clouds


def slow_fps(pos: Tensor, count: int, current: int) -> list[int]:
    picked, distance = [], torch.full((len(pos),), torch.inf, dtype=torch.float64)
    for _ in range(count):
        picked.append(current)
        distance = torch.minimum(distance, (pos.double() - pos[current].double()).square().sum(1))
        distance[current] = -1.0
        current = int(distance.argmax())
    return picked


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 3, 9])
def test_picks_a_share_of_each_cloud(dims: int, plain: bool) -> None:
    _, batch = random_clouds(4, 20, ragged=True)
    pos, sizes = torch.randn(len(batch), dims), torch.bincount(batch).tolist()
    ratio = torch.tensor([0.1, 0.5, 0.9, 1.0])
    expected, start = [], 0
    for size, share in zip(sizes, ratio.tolist()):
        count = -int(-torch.tensor(size * share).float() // 1)
        expected += [start + i for i in slow_fps(pos[start : start + size], count, 0)]
        start += size
    if plain:
        with plain_torch():
            found = fps(pos, batch, ratio, random_start=False)
    else:
        found = fps(pos, batch, ratio, random_start=False)
    assert found.tolist() == expected


def test_forms_of_the_arguments() -> None:
    pos = torch.randn(10, 3)
    batch = torch.tensor([0] * 4 + [2] * 6)
    expected = fps(pos, batch, random_start=False)
    assert len(expected) == 5
    for arguments in (
        {"ptr": [0, 4, 4, 10]},
        {"ptr": torch.tensor([0, 4, 10]), "ratio": torch.tensor([0.5, 0.5])},
        {"batch": batch, "ratio": None, "batch_size": 5},
        {"batch": batch, "ratio": torch.tensor(0.5)},
    ):
        assert torch.equal(fps(pos, random_start=False, **arguments), expected)
    assert torch.equal(fps(pos.view(10, 3, 1), batch, random_start=False), expected)
    assert fps(pos[:0]).shape == (0,)


def test_random_start_is_torchs_and_of_the_cloud() -> None:
    pos, batch = random_clouds(3, 20)
    torch.manual_seed(1)
    first = fps(pos, batch)
    assert not torch.equal(first, fps(pos, batch))
    torch.manual_seed(1)
    assert torch.equal(first, fps(pos, batch))
    assert torch.equal(batch[first], torch.arange(3).repeat_interleave(10))
    assert len(set(first.tolist())) == 30


def test_wrong_input_is_named() -> None:
    pos, batch = random_clouds(2, 10)
    for error, message, call in [
        (ValueError, "ratio = 0.0: it must be above 0", lambda: fps(pos, batch, 0.0)),
        (ValueError, "ratio = 1.5: it must be above 0", lambda: fps(pos, batch, 1.5)),
        (ValueError, "3 entries, there are 2", lambda: fps(pos, batch, torch.full((3,), 0.5))),
        (DataError, "NaN or infinite", lambda: fps(pos / 0.0, batch)),
        (DataError, "is not sorted", lambda: fps(pos, batch.flip(0))),
    ]:
        with pytest.raises(error, match=message):
            call()
