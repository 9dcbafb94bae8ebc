from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgic_geo import inference
from mgic_geo.datasets import MODELNET10_CLASSES
from mgic_geo.datasets.furniture import furniture_mesh
from mgic_geo.io import Mesh, write_off

Cli = Callable[..., Any]


@pytest.fixture
def chair(tmp_path: Path) -> Path:
    path = tmp_path / "chair.off"
    write_off(path, furniture_mesh("chair", seed=1))
    return path


def test_json(cli: Cli, weights: Path, chair: Path) -> None:
    command = ("predict", chair, "--weights", weights, "--json")
    done = cli(*command)
    (result,) = done.json
    assert done.code == 0
    assert result["file"] == str(chair)
    assert (result["kind"], result["num_points"]) == ("mesh", 64)
    probabilities = [entry["probability"] for entry in result["top"]]
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities, reverse=True)
    assert {entry["class"] for entry in result["top"]} <= set(MODELNET10_CLASSES)
    assert result["class"] == result["top"][0]["class"]
    assert result["probability"] == probabilities[0]
    assert cli(*command).out == done.out
    assert cli(*command, "--seed", 1).out != done.out


def test_fused_weights_say_the_same(cli: Cli, weights: Path, chair: Path) -> None:
    pair = [
        cli("predict", chair, "--weights", weights, "--json", *words) for words in ((), ("--fuse",))
    ]
    plain, fused = (done.json[0] for done in pair)
    assert [t["class"] for t in fused["top"]] == [t["class"] for t in plain["top"]]
    assert fused["probability"] == pytest.approx(plain["probability"], abs=1e-5)


def test_text_names_file_and_three_classes(cli: Cli, weights: Path, chair: Path) -> None:
    (result,) = cli("predict", chair, "--weights", weights, "--json").json
    line = cli("predict", chair, "--weights", weights).out
    assert line.startswith(f"{chair}: {result['class']} {100 * result['probability']:.2f} % (")
    assert line.count("%") == 3


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".xyz", ".ply", ".obj", ".stl", ".pcd"])
def test_formats(cli: Cli, weights: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"shape{suffix}"
    mesh = furniture_mesh("desk", seed=2)
    points = np.random.default_rng(0).normal(size=(64, 3))
    if suffix == ".npy":
        np.save(path, points)
    elif suffix == ".npz":
        np.savez(path, points=points)
    elif suffix == ".xyz":
        np.savetxt(path, points)
    elif suffix == ".pcd":
        head = (
            "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 64\nHEIGHT 1\n"
        )
        rows = "\n".join(" ".join(map(str, row)) for row in points)
        path.write_text(f"{head}POINTS 64\nDATA ascii\n{rows}\n")
    else:
        trimesh = pytest.importorskip("trimesh", reason="PLY, OBJ and STL need the extra mesh")
        trimesh.Trimesh(mesh.vertices, mesh.faces).export(path)
    done = cli("predict", path, "--weights", weights, "--json")
    assert (done.code, len(done.json)) == (0, 1)
    assert done.json[0]["kind"] == ("mesh" if suffix in (".ply", ".obj", ".stl") else "cloud")


@pytest.mark.parametrize(("up", "axes"), [("x", (2, 1, 0)), ("y", (0, 2, 1)), ("z", (0, 1, 2))])
def test_up_axis(
    cli: Cli, weights: Path, tmp_path: Path, up: str, axes: tuple[int, int, int]
) -> None:
    points = np.random.default_rng(0).normal(size=(64, 3))
    np.save(tmp_path / "upright.npy", points)
    turned = points[:, axes] * {"x": (1, 1, -1), "y": (1, 1, -1), "z": (1, 1, 1)}[up]
    np.save(tmp_path / "turned.npy", turned)
    command = ("predict", "--weights", weights, "--json")
    expected = cli(*command, "upright.npy").json[0]["top"]
    found = cli(*command, "turned.npy", "--up", up).json[0]["top"]
    assert [entry["class"] for entry in found] == [entry["class"] for entry in expected]
    assert [entry["probability"] for entry in found] == pytest.approx(
        [entry["probability"] for entry in expected], abs=1e-5
    )


def test_small_cloud_is_used_whole(cli: Cli, weights: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.random.default_rng(0).normal(size=(40, 3)))
    done = cli("predict", "small.npy", "--weights", weights, "--json")
    assert (done.code, done.json[0]["num_points"]) == (0, 40)
    assert "small.npy: has 40 points, the weights were trained on 64" in done.err
    asked = cli("predict", "small.npy", "--weights", weights, "--num_points", 64)
    assert (asked.code, asked.out) == (1, "")
    assert "ask for at most 40" in asked.err


def test_bad_files_are_named_and_the_others_classified(
    cli: Cli, weights: Path, tmp_path: Path, chair: Path
) -> None:
    (tmp_path / "broken.off").write_text("OFF\n3 1 0\n0 0 0\n")
    (tmp_path / "notes.txt").write_text("hello")
    np.save(tmp_path / "same.npy", np.ones((64, 3)))
    np.save(tmp_path / "nan.npy", np.full((64, 3), np.nan))
    np.save(tmp_path / "few.npy", np.random.default_rng(0).normal(size=(4, 3)))
    write_off(tmp_path / "flat.off", Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])))
    bad = ["broken.off", "notes.txt", "same.npy", "nan.npy", "few.npy", "flat.off", "none.off"]
    done = cli("predict", *bad, chair, "--weights", weights, "--json")
    assert done.code == 1
    assert [entry["file"] for entry in done.json] == [*bad, str(chair)]
    assert ["error" in entry for entry in done.json] == [True] * len(bad) + [False]
    assert all(name in entry["error"] for name, entry in zip(bad, done.json))
    assert all(f"mgic-geo: {entry['error']}\n" in done.err for entry in done.json[:-1])
    text = cli("predict", *bad, chair, "--weights", weights)
    assert (text.code, text.out.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    "error", [RuntimeError("two\nlines"), MemoryError(), RecursionError("deep"), KeyError("x")]
)
def test_whatever_a_reader_raises_the_others_are_classified(
    cli: Cli,
    weights: Path,
    tmp_path: Path,
    chair: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(path: str, *rest: Any) -> Any:
        if path == "bad.off":
            raise error
        return take(path, *rest)

    take = inference.as_shape
    monkeypatch.setattr(inference, "as_shape", fail)
    done = cli("predict", "bad.off", chair, "--weights", weights)
    assert (done.code, done.out.count("\n"), done.err.count("\n")) == (1, 1, 1)
    assert done.err.startswith(f"mgic-geo: bad.off: {type(error).__name__}")


def test_weights_of_another_kind(cli: Cli, weights: Path, tmp_path: Path, chair: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"\x80\x02}q\x00.")
    done = cli("predict", chair, "--weights", "model.pt", "--json")
    assert (done.code, done.out) == (1, "")
    assert "model.pt: not a readable safetensors file" in done.err
