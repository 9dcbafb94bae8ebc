from __future__ import annotations

import pytest
import torch

from mgic_geo.errors import DataError
from mgic_geo.graph import DifferentialOperators, Neighborhoods, knn, make_grids, scattered_keys
from mgic_geo.graph.grids import find_strays
from mgic_geo.testing import random_clouds


def sphere(count: int, seed: int = 0) -> torch.Tensor:
    pos = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return pos / pos.norm(dim=1, keepdim=True)


def test_keys_follow_from_the_place_in_the_cloud_alone() -> None:
    pos = torch.rand(2, 50, 3, dtype=torch.float64)
    key = scattered_keys(pos)
    assert ((key >= 0.0) & (key < 1.0)).all()
    order = torch.randperm(50)
    assert torch.equal(scattered_keys(pos[:, order]), key[:, order])
    torch.testing.assert_close(scattered_keys(1e3 * pos + 7.0), key, rtol=0, atol=1e-9)
    batch = torch.arange(2).repeat_interleave(50)
    assert torch.equal(scattered_keys(pos.view(-1, 3), batch), key.flatten())
    assert torch.equal(scattered_keys(torch.zeros(1, 4, 3)), torch.zeros(1, 4))


def test_the_first_part_of_the_order_is_as_even_as_a_random_one() -> None:
    pos = sphere(4000)
    order = scattered_keys(pos[None])[0].argsort()
    for axis in range(3):
        for count in (1000, 250):
            chosen, random = pos[order[:count]], pos[torch.randperm(4000)[:count]]
            # distances of all points to the nearest chosen one
            far = [(pos - part[knn(part, pos, 1)[1]]).norm(dim=1) for part in (chosen, random)]
            assert far[0].mean() <= 1.1 * far[1].mean()
            assert chosen[:, axis].mean().abs() < 0.12


def test_each_grid_is_a_part_of_the_finer_one_with_its_neighbours() -> None:
    pos, batch = random_clouds(3, 200, ragged=True)
    counts = torch.bincount(batch)
    grids = make_grids(pos, batch, k=6, operators=False)
    assert len(grids) == 3
    for level, grid in enumerate(grids):
        assert grid.batch is not None
        sizes = (counts // 4**level).clamp_min(16) if level else counts
        assert torch.equal(torch.bincount(grid.batch), sizes)
        assert isinstance(grid.graph, Neighborhoods)
        own = knn(grid.pos, grid.pos, 7, grid.batch, grid.batch)[1].view(-1, 7)[:, 1:]
        assert torch.equal(grid.graph.col.view(-1, 6).long(), own)
        if level:
            fine = grids[level - 1]
            found = knn(fine.pos, grid.pos, 16, fine.batch, grid.batch)[1]
            assert torch.equal(grid.finer.col.long(), found)
            # nested: the nearest point of the finer grid is the point itself
            assert torch.equal(fine.pos[found.view(-1, 16)[:, 0]], grid.pos)


def test_clouds_of_one_size_are_the_same_as_by_batch() -> None:
    pos = torch.rand(3, 70, 3)
    batch = torch.arange(3).repeat_interleave(70)
    for stray in (None, 1.5):
        dense = make_grids(pos, k=5, stray=stray)
        ragged = make_grids(pos.view(-1, 3), batch, k=5, stray=stray)
        for a, b in zip(dense, ragged, strict=True):
            assert torch.equal(a.pos, b.pos)
            assert isinstance(a.graph, DifferentialOperators)
            assert torch.equal(a.graph.weight, b.graph.weight)
            assert torch.equal(a.finer.col, b.finer.col)
            assert (a.stray is None) == (stray is None)
            assert a.stray is None or torch.equal(a.stray, b.stray)


def test_points_that_stand_alone_are_strays_and_no_centres() -> None:
    pos = torch.cat([sphere(300), 4.0 * torch.eye(3)])
    grids = make_grids(pos[None], stray=3.0)
    assert grids[0].stray is not None
    assert grids[0].stray.nonzero().flatten().tolist() == [300, 301, 302]
    assert all(grid.stray is not None and not grid.stray.any() for grid in grids[1:])
    assert make_grids(pos[None])[0].stray is None


def test_no_more_than_half_of_a_cloud_are_strays() -> None:
    reach = torch.rand(4, 31)
    assert (find_strays(reach, 1.0).sum(dim=1) <= 15).all()
    batch = torch.arange(4).repeat_interleave(31)
    found = find_strays(reach.flatten(), 1.2, batch)
    assert torch.equal(found, find_strays(reach, 1.2).flatten())
    assert found.any()


def test_too_few_points() -> None:
    with pytest.raises(DataError, match="has 15 points"):
        make_grids(torch.rand(1, 15, 3), k=5)
