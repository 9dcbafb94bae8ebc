from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.transforms import cut_mix_clouds


def mixed(seed: int, pos: Tensor) -> tuple[Tensor, Tensor, float]:
    return cut_mix_clouds(pos, torch.Generator().manual_seed(seed))


def row(cloud: Tensor, point: Tensor) -> int:
    """Where a point stands in a cloud, -1 if nowhere."""
    found = (cloud == point).all(dim=1).nonzero()
    return int(found[0]) if len(found) else -1


@pytest.mark.parametrize("seed", range(5))
def test_a_region_is_replaced_by_the_partners(seed: int) -> None:
    pos = torch.randn(6, 40, 3, dtype=torch.float64)
    out, partner, share = mixed(seed, pos)
    taken = round(share * 40)
    assert out.shape == pos.shape
    assert sorted(partner.tolist()) == list(range(6))
    assert 0 < taken < 40
    for i in range(6):
        kept = {row(pos[i], point) for point in out[i, : 40 - taken]}
        came = {row(pos[partner[i]], point) for point in out[i, 40 - taken :]}
        assert -1 not in kept | came
        assert (len(kept), len(came)) == (40 - taken, taken)
        # one ball around a point of the cloud holds all that left, one all that came
        gone = [j for j in range(40) if j not in kept]
        assert any(
            inside(pos[i], center, gone) and inside(pos[partner[i]], center, sorted(came))
            for center in pos[i, gone]
        )


def inside(cloud: Tensor, center: Tensor, index: list[int]) -> bool:
    """Whether these are the points that are nearest to ``center``."""
    order = (cloud - center).square().sum(dim=1).argsort()
    return sorted(order[: len(index)].tolist()) == index


def test_the_generator_decides_and_nothing_is_in_place() -> None:
    pos = torch.randn(4, 20, 3)
    before = pos.clone()
    one, two, other = mixed(1, pos), mixed(1, pos), mixed(2, pos)
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert one[2] == two[2] != other[2]
    assert torch.equal(pos, before)


def test_shares_cover_their_range() -> None:
    shares = [mixed(seed, torch.zeros(1, 50, 3))[2] for seed in range(200)]
    assert min(shares) < 0.1
    assert max(shares) > 0.9
    assert sum(shares) / 200 == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("shape", [(4, 3), (2, 1, 3), (2, 5, 2)])
def test_refusals(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="at least 2 points"):
        cut_mix_clouds(torch.zeros(shape))
