from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.kernels import dispatch
from mgic_geo.transforms import farthest_point_sample


def slow_fps(pos: Tensor, num: int, first: int) -> list[int]:
    points, picked = pos.double().numpy(), [first]
    while len(picked) < num:
        distance = np.linalg.norm(points[:, None] - points[picked], axis=-1).min(axis=1)
        picked.append(int(distance.argmax()))
    return picked


@pytest.fixture(params=["numba", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(dispatch, "COMPILED", False)
    elif not dispatch.COMPILED:
        pytest.skip("the compiled kernel needs Numba")
    return request.param


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_equals_the_slow_reference(backend: str, dim: int) -> None:
    pos = torch.randn(120, dim)
    index = farthest_point_sample(pos, 40, seed=5)
    assert index.tolist() == slow_fps(pos, 40, int(index[0]))


def test_ties_and_repeated_points_are_settled_alike(backend: str) -> None:
    grid = torch.cartesian_prod(*[torch.arange(4.0)] * 3)
    index = farthest_point_sample(torch.cat([grid, grid]), 128, seed=2)
    assert sorted(index.tolist()) == list(range(128))
    assert sorted((index[:64] % 64).tolist()) == list(range(64))  # copies come last
    assert index[:64].tolist() == slow_fps(grid.repeat(2, 1), 64, int(index[0]))


def test_a_cloud_does_not_depend_on_its_batch(backend: str) -> None:
    clouds = [torch.randn(size, 3) for size in (30, 50, 41)]
    batch = torch.repeat_interleave(torch.tensor([0, 1, 2]), torch.tensor([30, 50, 41]))
    index = farthest_point_sample(torch.cat(clouds), 20, seed=1, batch=batch).view(3, 20)
    for cloud, row, start in zip(clouds, index, (0, 30, 80)):
        assert torch.equal(row - start, farthest_point_sample(cloud, 20, seed=1))


CLOUDS = {
    "even": lambda n: torch.rand(n, 3),
    "sphere": lambda n: torch.nn.functional.normalize(torch.randn(n, 3, dtype=torch.float64)),
    "clusters": lambda n: torch.randn(n, 3) ** 5,
    "grid": lambda n: torch.randint(0, 6, (n, 3)).float(),
    "one place": lambda n: torch.ones(n, 3),
    "overflowing": lambda n: (torch.rand(n, 3).double() - 0.5) * 1e200,
    "whole numbers": lambda n: torch.randint(0, 99, (n, 3)),
    "half precision": lambda n: torch.rand(n, 3, dtype=torch.bfloat16),
    "of eight axes": lambda n: torch.rand(n, 8),
}


@pytest.mark.skipif(not dispatch.COMPILED, reason="the compiled kernel needs Numba")
@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("threads", [1, 2])
def test_compiled_and_plain_pick_the_same(
    kind: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = torch.tensor([400, 1, 33, 32, 70, 1500])
    pos = torch.cat([CLOUDS[kind](int(size)) for size in sizes])
    before = pos.clone()
    batch = torch.repeat_interleave(torch.tensor([0, 1, 2, 4, 5, 6]), sizes)
    wishes = [(pos, 1, batch), (pos[401:], 32, batch[401:]), (pos[:400], 400, None)]
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    found = [farthest_point_sample(p, num, 3, b) for p, num, b in wishes]
    monkeypatch.setattr(dispatch, "COMPILED", False)
    expected = [farthest_point_sample(p, num, 3, b) for p, num, b in wishes]
    assert all(torch.equal(a, b) for a, b in zip(found, expected))
    assert sorted(found[2].tolist()) == list(range(400))
    assert torch.equal(pos, before)


def test_views_are_sampled_as_they_are(backend: str) -> None:
    pos = torch.randn(3, 200)
    expected = farthest_point_sample(pos.T.contiguous(), 50)
    assert torch.equal(farthest_point_sample(pos.T, 50), expected)


def test_the_seed_decides_the_first_point() -> None:
    pos = torch.randn(500, 3)
    starts = {int(farthest_point_sample(pos, 1, seed=seed)) for seed in range(20)}
    assert len(starts) > 10


@pytest.mark.parametrize(
    ("pos", "num", "batch", "message"),
    [
        (torch.rand(5, 3), 6, None, "cannot pick 6 points from a cloud of 5"),
        (torch.rand(5, 3), 3, torch.tensor([0, 0, 0, 1, 1]), "cloud of 2"),
        (torch.rand(5, 3), 0, None, "cannot pick 0"),
        (torch.rand(5, 3), 1, torch.tensor([0, 1, 0, 1, 1]), "sorted"),
        (torch.full((5, 3), torch.nan), 2, None, "NaN"),
        (torch.rand(0, 3), 1, None, "N >= 1"),
    ],
)
def test_impossible_wishes(pos: Tensor, num: int, batch: Tensor | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        farthest_point_sample(pos, num, batch=batch)
