from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mgic_geo.errors import DataError
from mgic_geo.graph import available_backends, fps, knn, knn_graph, radius, radius_graph
from mgic_geo.kernels.neighbors import backends
from mgic_geo.testing import random_clouds

BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name not in available_backends(), reason=f"the backend {name} is not installed"
        ),
    )
    for name in backends.SEARCHES
]


def slow_knn(x: Tensor, y: Tensor, k: int, batch_x: Tensor, batch_y: Tensor) -> Tensor:
    """All distances, one query after another; index order breaks ties."""
    edges = []
    for i, point in enumerate(y):
        same = (batch_x == batch_y[i]).nonzero().flatten()
        distance = ((x[same].double() - point.double()) ** 2).sum(dim=1)
        edges += [(i, int(same[j])) for j in torch.argsort(distance, stable=True)[:k]]
    return torch.tensor(edges).T


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dims", [1, 3, 16])
@pytest.mark.parametrize("ragged", [False, True])
def test_equals_brute_force(backend: str, dims: int, ragged: bool) -> None:
    _, batch_x = random_clouds(3, 20, seed=1, ragged=ragged)
    _, batch_y = random_clouds(3, 15, seed=2, ragged=ragged)
    x, y = torch.randn(len(batch_x), dims), torch.randn(len(batch_y), dims)
    expected = slow_knn(x, y, 5, batch_x, batch_y)
    assert torch.equal(knn(x, y, 5, batch_x, batch_y, backend=backend), expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_graph_equals_brute_force(
    backend: str, loop: bool, cosine: bool, dtype: torch.dtype
) -> None:
    pos, batch = random_clouds(3, 20, dtype=dtype, ragged=True)
    points = F.normalize(pos, dim=-1) if cosine else pos
    nodes, neighbors = slow_knn(points, points, 6, batch, batch)
    if not loop:
        nodes, neighbors = (row.view(-1, 6)[:, 1:].flatten() for row in (nodes, neighbors))
    k = 6 if loop else 5
    found = knn_graph(pos, k, batch, loop=loop, cosine=cosine, backend=backend)
    assert torch.equal(found, torch.stack([neighbors, nodes]))
    turned = knn_graph(pos, k, batch, loop, flow="target_to_source", cosine=cosine, backend=backend)
    assert torch.equal(turned, found.flip(0))


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
def test_clouds_of_one_size_need_no_batch(backend: str) -> None:
    pos, batch = random_clouds(4, 16)
    expected = knn_graph(pos, 3, batch, backend="dense")
    assert torch.equal(knn_graph(pos.view(4, 16, 3), 3, backend=backend), expected)
    assert torch.equal(knn_graph(pos[:16], 3, backend=backend), expected[:, : 16 * 3])


@pytest.mark.parametrize("backend", BACKENDS)
def test_coincident_points_never_are_their_own_neighbors(backend: str) -> None:
    pos = torch.cat([torch.zeros(6, 3), torch.rand(10, 3) + 1.0])
    source, target = knn_graph(pos, 3, backend=backend)
    assert (source != target).all()
    assert torch.bincount(target).tolist() == [3] * 16
    assert (source[target < 6] < 6).all()
    pairs = set(zip(source.tolist(), target.tolist()))
    assert len(pairs) == len(source)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("far", [0.0, 1e3])
def test_small_distances_survive(backend: str, far: float) -> None:
    pos = torch.rand(64, 3) + far
    distance = (pos.double()[:, None] - pos.double()).square().sum(-1).fill_diagonal_(torch.inf)
    expected = distance.topk(4, largest=False).values
    source, _ = knn_graph(pos, 4, backend=backend)
    found = distance.gather(1, source.view(64, 4))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dims", [3, 16])
def test_chunks_do_not_change_the_dense_search(dims: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, batch = random_clouds(3, 40, ragged=True)
    x = torch.randn(len(batch), dims)
    even = torch.randn(2, 30, dims)
    expected = [knn_graph(x, 5, batch, backend="dense"), knn_graph(even, 5, backend="dense")]
    for size in (1, 100, 700):
        monkeypatch.setattr(backends, "_DENSE_CHUNK", size)
        found = [knn_graph(x, 5, batch, backend="dense"), knn_graph(even, 5, backend="dense")]
        assert all(torch.equal(a, b) for a, b in zip(found, expected))


@pytest.mark.parametrize(
    ("cuda_version", "expected"),
    [(-1, ["dense"]), (12080, ["pyg_lib", "torch_cluster", "dense"]), (None, ["dense"])],
)
def test_a_build_for_the_cpu_takes_no_cuda_tensors(
    cuda_version: int | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packages' stand-ins; real CPU builds of torch-cluster say -1."""
    for search in (backends.has_pyg_lib, backends.has_torch_cluster):
        monkeypatch.setattr(backends, search.__name__, search.__wrapped__)  # nothing remembered
    for package, library in (("pyg_lib", "pyg"), ("torch_cluster", "torch_cluster")):
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
        operators = SimpleNamespace(knn=None)
        if cuda_version is not None:  # before it could say
            operators.cuda_version = lambda: cuda_version
        monkeypatch.setattr(torch.ops, library, operators, raising=False)
    assert available_backends("cuda") == expected
    assert available_backends("mps") == ["dense"]
    assert {"pyg_lib", "torch_cluster"} <= set(available_backends("cpu"))


@pytest.mark.parametrize(
    ("dims", "kernels", "expected"),
    [
        (3, True, "compiled"),
        (8, True, "compiled"),
        (9, True, "dense"),
        (3, False, "kdtree"),
        (8, False, "kdtree"),
        (9, False, "dense"),
        (64, False, "dense"),
    ],
)
def test_automatic_choice_without_other_packages(
    dims: int, kernels: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    for name, search in backends.SEARCHES.items():
        fake = backends.SEARCHES["dense"] if name == "compiled" else search
        monkeypatch.setitem(
            backends.SEARCHES, name, lambda *a, n=name, s=fake: used.append(n) or s(*a)
        )
    monkeypatch.setattr(backends, "has_compiled", lambda: kernels)
    monkeypatch.setattr(backends, "has_pyg_lib", lambda kind: False)
    monkeypatch.setattr(backends, "has_torch_cluster", lambda kind: False)
    knn_graph(torch.randn(20, dims), 4)
    assert used == [expected]
    assert available_backends("cuda") == ["dense"]


# A cloud of each kind: even and with clusters, flat, of equal points, much larger than its spread.
CLOUDS = {
    "cube": lambda n: torch.rand(n, 3),
    "clusters": lambda n: torch.randn(n, 3) ** 5,
    "plane": lambda n: torch.rand(n, 3) * torch.tensor([1.0, 0.0, 1.0]),
    "line": lambda n: torch.arange(n)[:, None] * torch.tensor([[1.0, 2.0, 3.0]]),
    "grid": lambda n: torch.randint(0, 9, (n, 3)).float(),
    "one place": lambda n: torch.ones(n, 3),
    "far": lambda n: torch.rand(n, 3, dtype=torch.float64) + 1e6,
    "huge": lambda n: (torch.rand(n, 3) - 0.5) * 1e38,
    "tiny": lambda n: torch.rand(n, 3) * 1e-30,
}


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("backend", [BACKENDS[0], "kdtree"])
@pytest.mark.parametrize("workers", [1, 3])
def test_large_clouds_in_parts(
    kind: str, backend: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distances agree with all distances in double precision, for any way to share the work."""
    monkeypatch.setattr(backends, "_KDTREE_CHUNK", 100)
    if backend == "compiled":
        from mgic_geo.kernels.neighbors import tree

        monkeypatch.setattr(tree, "_SHARED", 200)
    sizes = [700, 40, 33, 1000, 12]
    pos = torch.cat([CLOUDS[kind](size) for size in sizes])
    batch = torch.repeat_interleave(torch.arange(5), torch.tensor(sizes))
    source, target = knn_graph(pos, 10, batch, num_workers=workers, backend=backend)
    assert torch.equal(target, torch.arange(len(pos)).repeat_interleave(10))
    assert torch.equal(batch[source], batch[target])
    assert (source != target).all()
    distance = torch.cdist(
        pos.double(), pos.double(), compute_mode="donot_use_mm_for_euclid_dist"
    ).masked_fill_((batch[:, None] != batch) | torch.eye(len(pos), dtype=torch.bool), torch.inf)
    expected = distance.topk(10, largest=False).values
    found = distance.gather(1, source.view(-1, 10))
    scale = pos.double().abs().max() * (1e-14 if pos.dtype == torch.float64 else 1e-6)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=float(scale))
    edges = list(zip(source.tolist(), target.tolist()))
    assert len(set(edges)) == len(edges)


def test_compiled_models_build_graphs_of_clouds_of_any_size() -> None:
    torch._dynamo.reset()
    build = torch.compile(lambda pos: knn_graph(pos, 4), backend="eager", dynamic=True)
    for clouds, points in (4, 32), (4, 40), (3, 36):
        pos = torch.rand(clouds, points, 3)
        assert torch.equal(build(pos), knn_graph(pos, 4))


def test_the_compiled_graph_does_not_depend_on_the_workers() -> None:
    if "compiled" not in available_backends():
        pytest.skip("the compiled kernels need Numba")
    pos = torch.randint(0, 9, (3000, 3)).float()  # with many equal distances
    alone = knn_graph(pos, 5, num_workers=1, backend="compiled")
    assert torch.equal(alone, knn_graph(pos, 5, num_workers=4, backend="compiled"))


@pytest.mark.parametrize("dims", [1, 2, 3, 7])
def test_compiled_search_of_many_neighbors_for_other_points(dims: int) -> None:
    if "compiled" not in available_backends():
        pytest.skip("the compiled kernels need Numba")
    # In double precision, for in single precision some of so many distances are equal.
    x, y = torch.randn(300, dims).double(), 2.0 * torch.randn(90, dims).double()
    one, other = (torch.zeros(len(points), dtype=torch.long) for points in (x, y))
    assert torch.equal(knn(x, y, 70, backend="compiled"), slow_knn(x, y, 70, one, other))


@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.bfloat16])
def test_compiled_search_takes_other_types(dtype: torch.dtype) -> None:
    if "compiled" not in available_backends():
        pytest.skip("the compiled kernels need Numba")
    pos = torch.randint(0, 99, (50, 3)).to(dtype)
    expected = knn_graph(pos.double(), 4, backend="compiled")
    assert torch.equal(knn_graph(pos, 4, backend="compiled"), expected)


def test_the_search_leaves_its_input_alone() -> None:
    pos = torch.rand(100, 3)
    before = pos.clone()
    knn_graph(pos, 3)
    knn(pos, pos, 3)
    assert torch.equal(pos, before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_clouds(backend: str) -> None:
    batch = torch.tensor([0] * 5 + [2] * 6)
    pos = torch.rand(11, 3)
    expected = slow_knn(pos, pos, 3, batch, batch)
    assert torch.equal(knn(pos, pos, 3, batch, batch, batch_size=5, backend=backend), expected)
    assert knn_graph(torch.empty(0, 3), 3, backend=backend).shape == (2, 0)


def test_batch_size_alone_changes_nothing() -> None:
    pos = torch.rand(10, 3)
    for batch_size in (2, 3):
        assert torch.equal(knn(pos, pos, 2, batch_size=batch_size), knn(pos, pos, 2))
        assert torch.equal(knn_graph(pos, 2, batch_size=batch_size), knn_graph(pos, 2))
        found = radius(pos, pos, 0.4, batch_size=batch_size)
        assert torch.equal(found, radius(pos, pos, 0.4))


@pytest.mark.parametrize("backend", ["auto", "dense"])
@pytest.mark.parametrize("most", [3, 50])
def test_radius_equals_brute_force(backend: str, most: int) -> None:
    _, batch_x = random_clouds(3, 20, seed=1, ragged=True)
    _, batch_y = random_clouds(3, 15, seed=2, ragged=True)
    x, y = (torch.rand(len(b), 3, dtype=torch.float64) for b in (batch_x, batch_y))
    expected = []
    for i in range(len(y)):
        distance = (x - y[i]).norm(dim=1).masked_fill(batch_x != batch_y[i], torch.inf)
        near = torch.argsort(distance)[:most]
        expected += [(i, int(j)) for j in near if distance[j] <= 0.3]
    found = radius(x, y, 0.3, batch_x, batch_y, most, backend=backend)
    assert list(zip(*found.tolist())) == expected
    nodes = radius_graph(x, 0.3, batch_x, max_num_neighbors=most, backend=backend)
    assert (nodes[0] != nodes[1]).all()
    own = radius_graph(x, 0.3, batch_x, loop=True, max_num_neighbors=50, backend=backend)
    assert (own[0] == own[1]).sum() == len(x)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_chunks_do_not_change_the_dense_radius(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pos, batch = random_clouds(3, 20, ragged=True)
    expected = radius_graph(pos, 0.5, batch, backend="dense")
    monkeypatch.setattr(backends, "_DENSE_CHUNK", 20 * rows)
    assert torch.equal(radius_graph(pos, 0.5, batch, backend="dense"), expected)


def test_neighbors_pass_no_gradient() -> None:
    x = torch.randn(20, 4, requires_grad=True)
    assert not knn_graph(x, 3).requires_grad


def test_wrong_input_is_named() -> None:
    pos, batch = random_clouds(2, 10)
    bad = pos.clone()
    bad[3, 1] = float("nan")
    for error, message, call in [
        (
            DataError,
            "cloud 0 has 10 points, k = 10 needs at least 11",
            lambda: knn_graph(pos, 10, batch, strict=True),
        ),
        (DataError, "NaN or infinite", lambda: knn_graph(bad, 3)),
        (DataError, "NaN or infinite", lambda: knn_graph(pos / 0.0, 3)),
        (DataError, "20 points, or is not sorted", lambda: knn_graph(pos, 3, batch.flip(0))),
        (DataError, "batch has 20 entries for 15 points", lambda: knn_graph(pos[:15], 3, batch)),
        (DataError, "cloud 1 has 0 points", lambda: knn(pos, pos, 3, None, batch, strict=True)),
        (ValueError, "k = 0: it must be at least 1", lambda: knn(pos, pos, 0)),
        (ValueError, r"must be \[N, D\], got \[20\]", lambda: knn_graph(pos[:, 0], 3)),
        (ValueError, "num_workers = 0", lambda: knn_graph(pos, 3, num_workers=0)),
        (ValueError, "flow = 'up'", lambda: knn_graph(pos, 3, flow="up")),
        (AssertionError, "flow = 'up'", lambda: radius_graph(pos, 3, flow="up")),
        (ValueError, "backend = 'magic': use one of", lambda: knn_graph(pos, 3, backend="magic")),
    ]:
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("loop", [False, True])
def test_small_clouds_have_the_neighbors_that_they_have(backend: str, loop: bool) -> None:
    pos, batch = torch.rand(9, 3), torch.tensor([0, 1, 1, 1, 2, 2, 2, 2, 2])
    found = knn_graph(pos, 3, batch, loop, backend=backend)
    assert torch.bincount(found[1]).tolist() == [loop] + [2 + loop] * 3 + [3] * 5
    assert torch.equal(batch[found[0]], batch[found[1]])
    order = (pos[found[0]] - pos[found[1]]).norm(dim=1)
    assert all((order[found[1] == i].diff() >= 0).all() for i in range(9))
    assert torch.equal(
        knn(pos, pos[:1], 20, backend=backend)[1], (pos - pos[0]).norm(dim=1).argsort()
    )


def test_a_radius_without_a_limit_finds_all() -> None:
    pos = torch.rand(200, 3)
    near = torch.cdist(pos, pos) <= 0.8
    assert radius(pos, pos, 0.8, max_num_neighbors=None).shape[1] == near.sum() > 32 * 200
    assert radius_graph(pos, 0.8, max_num_neighbors=None).shape[1] == near.sum() - 200


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_searches_compile_to_torchscript() -> None:
    pos, batch = random_clouds(2, 10)
    for search, arguments in [
        (knn, (pos, pos[5:15], 3, batch, batch[5:15])),
        (knn, (pos, pos, 30)),
        (knn_graph, (pos, 3, batch, True, "target_to_source", True)),
        (radius, (pos, pos, 0.4, batch, batch)),
        (radius_graph, (pos, 0.4, batch)),
        (radius_graph, (pos, 9.0, batch, False, None)),
        (fps, (pos, batch, 0.3, False)),
    ]:
        assert torch.equal(torch.jit.script(search)(*arguments), search(*arguments)), search


def test_k_below_one_is_named_as_it_was_given() -> None:
    with pytest.raises(ValueError, match="k = 0: it must be at least 1"):
        knn_graph(torch.rand(5, 3), 0)


def test_a_missing_backend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "has_pyg_lib", lambda kind: False)
    with pytest.raises(ValueError, match="backend = 'pyg_lib' is not available here"):
        knn_graph(torch.rand(5, 3), 2, backend="pyg_lib")
