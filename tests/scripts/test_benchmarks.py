from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numba
import pytest
import torch

from mgic_geo.graph import differential_operators, knn_graph
from mgic_geo.hierarchy import ChannelHierarchy
from mgic_geo.kernels import dispatch
from mgic_geo.nn import DiffGCNConv

Part = Callable[[str], ModuleType]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny work on two threads is all waiting, and more so where other programs run."""
    threads = torch.get_num_threads(), numba.get_num_threads()
    yield
    torch.set_num_threads(threads[0])
    numba.set_num_threads(threads[1])


@pytest.fixture
def part(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Part:
    """Imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(repository))
    return lambda name: importlib.import_module(f"scripts.benchmarks.{name}")


def test_all_take_turns_after_a_warm_up(part: Part) -> None:
    calls: list[str] = []
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    timings = part("_timing").interleave(runs, (3, 3), 0.0)
    assert "".join(calls) == "aabb" + "ab" * 3
    assert all(len(timing.times) == 3 for timing in timings.values())


def test_rounds_end_with_the_time_but_not_too_early(part: Part) -> None:
    now = [0.0]

    def run() -> None:
        now[0] += 1.0

    def rounds(seconds: float) -> int:
        limits = (2, 10)
        timings = part("_timing").interleave({"a": run}, limits, seconds, lambda: now[0])
        return len(timings["a"].times)

    assert rounds(0.0) == 2
    assert rounds(4.0) == 5
    assert rounds(1e9) == 10


def test_statistics_of_a_timing(part: Part) -> None:
    timing, other = (part("_timing").Timing(t) for t in ((1.0, 2.0, 3.0), (2.0, 8.0, 9.0)))
    assert (timing.median, timing.quartiles) == (2.0, (1.5, 2.5))
    # of each round's ratio, not of the medians
    assert timing.times_faster_than(other) == 3.0


def test_exponent_of_a_power_is_exact(part: Part) -> None:
    x = [64.0, 128.0, 256.0, 1024.0]
    assert math.isclose(part("_timing").fit_exponent(x, [3e-4 * v**1.9 for v in x]), 1.9)


def test_a_failing_peer_becomes_a_row(part: Part, tmp_path: Path) -> None:
    def missing() -> Callable[[], None]:
        raise ImportError("no such package\nmore")

    def breaks() -> None:
        raise ValueError("in the run")

    def far() -> float:
        raise RuntimeError("in the comparison")

    bench_part = part("_bench")
    peer = bench_part.Peer
    bench = bench_part.Bench(tmp_path / "rows.csv", ["f"], quick=True)
    timings = bench.compare(
        "f",
        "case",
        [
            peer("missing", missing),
            peer("breaks", lambda: breaks),
            peer("works", lambda: lambda: None, macs=1.0),
            peer("far", lambda: lambda: None, difference=far),
        ],
        ("missing", "works"),
    )
    assert list(timings) == ["works"]
    rows = {row["peer"]: row for row in bench_part.read_rows(tmp_path / "rows.csv")}
    assert rows["missing"]["note"] == "failed: ImportError: no such package"
    assert rows["breaks"]["note"] == "failed: ValueError: in the run"
    assert rows["far"]["note"] == "failed: RuntimeError: in the comparison"
    assert not any(rows[name]["seconds"] for name in ("missing", "breaks", "far"))
    works = rows["works"]
    assert (works["ratio"], works["reference"], works["repeats"]) == ("1", "works", "2")
    assert all(works[name] for name in ("seconds", "q1", "q3", "gmacs", "versions", "device_name"))


def test_rows_of_other_families_stay(part: Part, tmp_path: Path) -> None:
    bench_part, path = part("_bench"), tmp_path / "rows.csv"
    first = bench_part.Bench(path, ["a", "b"])
    first.record(family="a", case="old")
    first.record(family="b", case="old")
    bench_part.Bench(path, ["b"]).record(family="b", case="new")
    rows = bench_part.read_rows(path)
    assert [(row["family"], row["case"]) for row in rows] == [("a", "old"), ("b", "new")]


def test_a_foreign_file_is_left_alone(
    part: Part, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("x,y\n1,2\n")
    with pytest.raises(SystemExit):
        part("__main__").main(["--quick", "--only", "epoch", "--out", str(path)])
    assert "not a file of benchmarks" in capsys.readouterr().err
    assert path.read_text() == "x,y\n1,2\n"


@pytest.mark.usefixtures("one_thread")
def test_quick_run_writes_rows_and_pictures(
    part: Part, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra viz")
    out, only = tmp_path / "rows.csv", ("width", "roofline", "classifier", "points", "knn")
    words = [word for name in only for word in ("--only", name)]
    command = ["--quick", "--threads", "1", *words, "--out", str(out), "--pictures", str(tmp_path)]
    assert part("__main__").main(command) == 0
    rows = part("_bench").read_rows(out)
    own = [row for row in rows if row["device"] == "cpu"]
    timed = {(row["family"], row["peer"]) for row in own if row["seconds"]}
    assert {
        ("width", "dense"),
        ("width", "MGIC (8, 16)"),
        ("width", "MGIC (16, 64), materialised"),
        ("roofline", "copy"),
        ("roofline", "DiffGCNConv"),
        ("classifier", "mgic_diffgcn"),
        ("classifier", "PyG EdgeConv(MLP)"),
        ("points", "dgcnn"),
        ("knn", "ours, auto"),
    } <= timed
    assert {row["family"] for row in own if row["exponent"]} == {"width", "points"}
    # What computes the same as ours is seen to do so.
    compared = [row for row in own if row["difference"]]
    assert {row["family"] for row in compared} >= {"width", "classifier"}
    assert all(float(row["difference"]) <= 1e-4 for row in compared)
    for name in ("width", "points", "classifier", "roofline"):
        assert (tmp_path / f"bench_{name}.png").stat().st_size > 1000
    text = capsys.readouterr().out
    assert "target" in text
    assert "not measured" in text


@pytest.mark.skipif(not dispatch.COMPILED, reason="no compiled kernels here")
def test_parts_of_a_step(part: Part, tmp_path: Path) -> None:
    parts, cycle = part("parts"), importlib.import_module("mgic_geo.kernels.diff_cycle.cpu")
    before = cycle.diff_conv_forward
    bench = part("_bench").Bench(tmp_path / "rows.csv", ["parts"], quick=True)
    parts.run(bench)
    assert cycle.diff_conv_forward is before
    seconds = {row["peer"].partition("), ")[2]: float(row["seconds"]) for row in bench.rows}
    whole, floor = seconds.pop(parts.WHOLE), seconds.pop(parts.FLOOR)
    assert set(seconds) == {name.lstrip("_") for name in parts.KERNELS}
    assert floor > 0.0
    assert all(0.0 < each <= whole for each in seconds.values())
    # one level: derived twice, mixed, mixed back, and summed up
    count = parts.diff_conv_macs(ChannelHierarchy(16, 16, 16), 3)
    assert count == 3 * (2 * 16 * 10 * 6 + 3 * 7 * 16 * 16)


def test_materialised_operators_are_ours(part: Part) -> None:
    peers = part("_peers")
    pos = peers.make_clouds(1, 60)[0].double()
    edge_index = knn_graph(pos, 7)
    ours = DiffGCNConv(12, 12, 3, bias=False).double()
    plain = peers.MaterialisedConv(12, 3).double()
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(60, 12, dtype=torch.float64)
    expected = ours(x, differential_operators(pos, edge_index))
    torch.testing.assert_close(plain(x, peers.table_operators(pos, edge_index, 7)), expected)


def test_twin_with_other_layers_is_refused(part: Part) -> None:
    with pytest.raises(ValueError, match="different layers"):
        part("_peers").copy_weights(torch.nn.Linear(2, 3), torch.nn.Linear(3, 3))


def test_epoch_family(part: Part, tmp_path: Path) -> None:
    bench = part("_bench").Bench(tmp_path / "rows.csv", ["epoch"], quick=True)
    part("epoch").run(bench)
    assert float(bench.rows[0]["seconds"]) > 0.0
    assert bench.rows[0]["repeats"] == "1"


def test_all_pairs_of_many_points_are_left_out(
    part: Part, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part("knn"), "LARGEST_DENSE", 100)
    bench = part("_bench").Bench(tmp_path / "rows.csv", ["knn"], quick=True)
    part("knn").run(bench)
    dense = {row["case"]: row for row in bench.rows if row["peer"] == "ours, dense"}
    assert dense["knn_graph, 2 x 64"]["seconds"]
    assert not dense["knn_graph, 1 x 500"]["seconds"]
    assert dense["knn_graph, 1 x 500"]["note"] == "left out: 500^2 distances"


def test_memory_of_a_child_process(part: Part) -> None:
    """The features of 2,048 nodes alone are half a MiB, and a step holds several of them."""
    task = {"task": "memory", "peer": "MGIC (8, 16)", "width": 64, "nodes": 2048, "train": True}
    assert 1.0 < part("_child").run_child(task)["peak_mib"] < 200.0


def test_a_failing_child_says_why(part: Part) -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'nothing'"):
        part("_child").run_child({"task": "nothing"})


def test_allocation_settings(part: Part) -> None:
    settings = part("allocation").environments()
    assert settings["glibc, default"] == {}
    assert "mmap_threshold" in settings["glibc, as in the Makefile"]["GLIBC_TUNABLES"]
    assert len(settings) == 5


def test_targets_need_equal_results(part: Part) -> None:
    names, targets = part("_bench").COLUMNS, part("_targets")
    rows = [
        {
            **dict.fromkeys(names, ""),
            "family": "classifier",
            "case": "inference",
            "device": "cpu",
            **values,
        }
        for values in (
            {"peer": "dgcnn", "seconds": "1"},
            {"peer": "PyG dgcnn", "seconds": "9", "difference": "1e-6"},
        )
    ]

    def verdict() -> str:
        lines = targets.targets(rows)
        return str(next(c for a, _, c in lines if a.startswith("classifier: inference of dgcnn")))

    assert verdict() == "reached"
    rows[1]["difference"] = "0.1"
    assert verdict() == "NOT REACHED"
    rows[1]["difference"] = ""
    assert verdict() == "NOT REACHED"
