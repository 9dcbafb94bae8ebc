"""Nearest neighbours and farthest points against torch-cluster."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mgic_geo.graph import available_backends, knn_graph
from mgic_geo.transforms import farthest_point_sample

from ._bench import Bench, Peer
from ._peers import make_clouds
from ._timing import Run

K = 10
FOREIGN = ("torch_cluster", "pyg_lib")
# All pairs of this many points would take minutes.
LARGEST_DENSE = 50_000


def run(bench: Bench) -> None:
    clouds, points, large = (2, 64, 500) if bench.quick else (16, 1024, 1_000_000)
    batch = make_clouds(clouds, points, bench.device)
    cube = torch.rand(1, large, 3, generator=torch.Generator().manual_seed(0)).to(bench.device)
    for pos, seconds, rounds in ((batch, 6.0, None), (cube, 40.0, (3, 5))):
        names, threads = [], sorted({1, torch.get_num_threads()})
        peers = []
        for workers in threads:
            names.append(f"torch-cluster, {workers} workers")
            peers.append(Peer(names[-1], _cluster(pos, workers), {"note": "k-d tree a cloud"}))
        expected: list[Tensor] = []
        for backend in ("auto", *available_backends(bench.device)):
            peers.extend(_ours(bench, pos, backend, threads[-1], expected))
        case = f"knn_graph, {pos.size(0)} x {pos.size(1)}"
        bench.compare(
            "knn",
            case,
            peers,
            names,
            seconds,
            rounds if not bench.quick else None,
            nodes=pos.shape[:2].numel(),
        )
    _farthest(bench, batch)


def _ours(
    bench: Bench, pos: Tensor, backend: str, threads: int, expected: list[Tensor]
) -> list[Peer]:
    """Our search by a backend; ``expected`` keeps torch-cluster's distances for all of them."""
    name = f"ours, {backend}"
    if backend in FOREIGN:
        return []
    if backend == "dense" and pos.size(1) > LARGEST_DENSE:
        note = f"left out: {pos.size(1)}^2 distances"
        case = f"knn_graph, {pos.size(0)} x {pos.size(1)}"
        bench.record(family="knn", case=case, peer=name, nodes=pos.shape[:2].numel(), note=note)
        return []
    workers = 1 if backend == "dense" else threads

    def build() -> Run:
        return lambda: knn_graph(pos, K, num_workers=workers, backend=backend)

    def difference() -> float:
        """Of the distances: which of two equally far points comes first is open."""
        own = _distances(pos, knn_graph(pos, K, num_workers=workers, backend=backend))
        if not expected:
            expected.append(_distances(pos, _search(pos, threads)))
        return float((own - expected[0]).abs().max())

    notes = [f"takes {available_backends(bench.device)[0]}"] * (backend == "auto")
    check = difference if _has_cluster() else None
    notes += ["distances against torch-cluster's"] * (check is not None)
    return [Peer(name, build, {"note": "; ".join(notes)}, difference=check)]


def _has_cluster() -> bool:
    try:
        import torch_cluster  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def _distances(pos: Tensor, edge_index: Tensor) -> Tensor:
    points = pos.flatten(0, 1)
    length = (points[edge_index[0]] - points[edge_index[1]]).norm(dim=-1)
    return length.view(-1, K).sort(dim=1).values


def _search(pos: Tensor, workers: int) -> Tensor:
    import torch_cluster

    edge_index: Tensor = torch_cluster.knn_graph(
        pos.flatten(0, 1), K, _batch(pos), num_workers=workers
    )
    return edge_index


def _batch(pos: Tensor) -> Tensor | None:
    if pos.size(0) == 1:
        return None
    return torch.arange(pos.size(0), device=pos.device).repeat_interleave(pos.size(1))


def _cluster(pos: Tensor, workers: int) -> Any:
    def build() -> Run:
        import torch_cluster  # its absence is this row's failure

        points, batch = pos.flatten(0, 1), _batch(pos)
        return lambda: torch_cluster.knn_graph(points, K, batch, num_workers=workers)

    return build


def _farthest(bench: Bench, pos: Tensor) -> None:
    """A quarter of each cloud's points."""
    points, batch = pos.flatten(0, 1), _batch(pos)
    number = pos.size(1) // 4

    def build() -> Run:
        import torch_cluster

        return lambda: torch_cluster.fps(points, batch, 0.25, random_start=False)

    name = "torch-cluster"
    peers = [
        Peer(name, build, {"note": "in float32, begins elsewhere"}),
        Peer("ours", lambda: lambda: farthest_point_sample(points, number, batch=batch)),
    ]
    case = f"farthest points, {pos.size(0)} x {pos.size(1)}"
    bench.compare("knn", case, peers, name, 4.0, nodes=points.size(0))
