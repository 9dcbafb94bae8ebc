from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import get_worker_info
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose, FixedPoints, RandomJitter, RandomRotate

import mgic_geo.transforms as T
from mgic_geo.errors import DataError


def cloud(size: int = 100) -> Data:
    return Data(pos=torch.randn(size, 3), y=torch.tensor([4]), name="chair_0001")


def mesh() -> Data:
    pos = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    return Data(pos=pos, face=torch.tensor([[0, 0], [1, 1], [2, 3]]), y=torch.tensor([4]))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


RANDOM: list[Callable[[], Any]] = [
    lambda: T.RandomAugment(generator(), scale=(0.5, 2), rotate_degrees=30, flip=0.5),
    lambda: T.RandomScaleAxes(0.5, 2.0, generator()),
    lambda: T.RandomShift(0.2, generator()),
    lambda: T.GaussianJitter(0.1, 0.2, generator()),
    lambda: T.RandomPointDropout(0.8, generator()),
    lambda: T.Seeded(Compose([RandomRotate(90, 2), RandomJitter(0.1), FixedPoints(50)]), 3),
    lambda: T.FarthestPointSampling(10, generator()),
]


@pytest.mark.parametrize("make", RANDOM, ids=lambda make: str(make())[:20])
def test_random_transforms_repeat_from_their_seed_and_go_on(make: Callable[[], Any]) -> None:
    data = cloud()
    before = data.pos.clone()
    first, second = make(), make()
    results = [first(data).pos for _ in range(3)]
    assert all(torch.equal(result, second(data).pos) for result in results)
    assert results[0].shape != results[1].shape or not torch.equal(results[0], results[1])
    assert torch.equal(data.pos, before)


def test_one_cloud_gets_the_maths_of_a_batch() -> None:
    data = cloud()
    options: dict[str, Any] = {"scale": (0.5, 2.0), "rotate_degrees": 90.0, "shift": 0.1}
    batch = T.augment_clouds(data.pos[None], generator(), **options)
    assert torch.equal(T.RandomAugment(generator(), **options)(data).pos, batch[0])


def test_bad_options_are_refused_by_the_constructor() -> None:
    for make in (lambda: T.RandomScaleAxes(2.0, 1.0), lambda: T.RandomPointDropout(1.5)):
        with pytest.raises(DataError):
            make()


def test_dropout_removes_points_with_their_edges_and_leaves_one() -> None:
    data = T.KNNGraph(4)(cloud())
    data.tag = torch.arange(100)
    out = T.RandomPointDropout(0.9, torch.Generator().manual_seed(0))(data)
    assert 10 <= len(out.pos) < 80
    assert torch.equal(out.pos, data.pos[out.tag])
    kept = torch.isin(data.edge_index, out.tag).all(0)
    assert torch.equal(out.tag[out.edge_index], data.edge_index[:, kept])
    assert out.y.tolist() == [4]
    assert len(T.RandomPointDropout(1.0, generator())(cloud(1)).pos) == 1


@pytest.mark.parametrize("shape", [(50, 3), (4, 50, 3)])
def test_normalize_sphere_forgets_place_and_size(shape: tuple[int, ...]) -> None:
    pos = torch.randn(shape, dtype=torch.float64)
    out = T.normalize_sphere(pos)
    torch.testing.assert_close(out.mean(-2), torch.zeros_like(out.mean(-2)))
    torch.testing.assert_close(out.norm(dim=-1).amax(-1), torch.ones(shape[:-2]).double())
    torch.testing.assert_close(T.normalize_sphere(40.0 * pos - 1e4), out)


def test_normalize_sphere_keeps_a_far_scan_in_single_precision() -> None:
    far = torch.randn(50, 3) + 1e4
    out = T.NormalizeSphere()(Data(pos=far)).pos
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, T.normalize_sphere(far.double()).float(), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("pos", "message"),
    [
        (torch.full((9, 3), 1.1e6), "all 9 points of a cloud coincide"),
        (torch.zeros(1, 3), "coincide"),
        (torch.full((7, 3), 0.1, dtype=torch.float64), "coincide"),
        (torch.tensor([[1e6, 0, 0], [1e6 + 0.0625, 0, 0]]), "coincide"),
        (torch.tensor([[0.0, 0, torch.nan], [1, 1, 1]]), "1 points have NaN"),
        (torch.zeros(0, 3), "n >= 1"),
    ],
)
def test_clouds_without_a_size(pos: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        T.NormalizeSphere()(Data(pos=pos))


def test_sample_surface_transform() -> None:
    fixed, fresh = T.SampleSurface(30, seed=2), T.SampleSurface(30, generator())
    out = fixed(mesh())
    expected = T.sample_surface(mesh().pos.numpy(), mesh().face.T.numpy(), 30, seed=2)
    np.testing.assert_allclose(out.pos.numpy(), expected, rtol=1e-6)
    assert out.face is None
    assert out.y.tolist() == [4]
    assert torch.equal(out.pos, fixed(mesh()).pos)
    assert not torch.equal(fresh(mesh()).pos, fresh(mesh()).pos)
    with pytest.raises(DataError, match="needs a mesh"):
        fixed(cloud())


def test_poisson_disk_transform() -> None:
    pytest.importorskip("open3d", reason="Poisson-disk sampling needs the extra mesh")
    assert T.PoissonDiskSampling(30)(mesh()).pos.shape == (30, 3)


def test_farthest_points_take_their_attributes_along() -> None:
    data = cloud()
    data.tag = torch.arange(100)
    out = T.FarthestPointSampling(10, seed=1)(data)
    assert torch.equal(out.tag, T.farthest_point_sample(data.pos, 10, seed=1))
    assert torch.equal(out.pos, data.pos[out.tag])
    graph = T.FarthestPointSampling(60, seed=1)(T.KNNGraph(5)(data))
    close = {tuple(sorted(pair)) for pair in T.KNNGraph(5)(data).edge_index.T.tolist()}
    assert {tuple(sorted(pair)) for pair in graph.tag[graph.edge_index].T.tolist()} <= close


@pytest.mark.parametrize("loop", [False, True])
def test_knn_graph_joins_the_nearest(loop: bool) -> None:
    data = cloud(30)
    out = T.KNNGraph(4, loop=loop)(data)
    distance = torch.cdist(data.pos.double(), data.pos.double())
    nearest = distance.argsort(1)[:, :4] if loop else distance.argsort(1)[:, 1:5]
    edges = {(int(j), int(i)) for i, j in out.edge_index.T}
    assert edges == {(i, int(j)) for i in range(30) for j in nearest[i]}


def test_seeded_leaves_the_global_generators_alone() -> None:
    def draws() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002

    data, states = cloud(), (random.getstate(), np.random.get_state())  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        expected = draws()
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    seen = []
    T.Seeded(lambda item: seen.append(draws()) or item, seed=9)(data)
    assert draws() == expected
    assert seen[0] != expected


class _Clouds(torch.utils.data.Dataset[Data]):
    def __init__(self) -> None:
        self.transform = T.Seeded(RandomJitter(1.0), seed=5)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Data:
        assert get_worker_info() is not None
        return self.transform(Data(pos=torch.zeros(1, 3)))


def test_seeded_repeats_runs_but_not_epochs_nor_workers() -> None:
    def run() -> list[torch.Tensor]:
        loader = DataLoader(_Clouds(), num_workers=2, generator=generator())
        return [torch.cat([data.pos for data in loader]) for _ in range(2)]

    first, second = run(), run()
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    assert len({tuple(row) for row in torch.cat(first).tolist()}) == 8
