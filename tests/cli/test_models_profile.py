from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mgic_geo.models import create_model

Cli = Callable[..., Any]


def test_models(cli: Cli) -> None:
    rows = cli("models", "--task", "points", "--json").json
    names = ["dgcnn", "diffgcn", "mgic_diffgcn", "mgic_edgeconv", "mgic_pyramid", "pyramid"]
    assert [row["name"] for row in rows] == names
    assert [row["parameters"] for row in rows] == [
        sum(p.numel() for p in create_model(row["name"]).parameters()) for row in rows
    ]
    table = cli("models", "mgic_*", "--task", "points")
    assert table.code == 0
    assert len(table.out.splitlines()) == 5
    assert f"{rows[2]['macs']:,}" in table.out


def test_no_such_model(cli: Cli) -> None:
    for arguments in (("models", "x*"), ("profile", "x")):
        done = cli(*arguments)
        assert done.code == 1
        assert "there are dgcnn, diffgcn, " in done.err


@pytest.mark.parametrize(
    ("name", "twin"), [("mgic_diffgcn", "diffgcn"), ("mgic_edgeconv", "dgcnn"), ("dgcnn", None)]
)
def test_profile(cli: Cli, name: str, twin: str | None) -> None:
    settings = ("--width", 32, "--num_points", 64)
    report = cli("profile", name, *settings, "--json").json
    for key in ("parameters", "macs", "graph_macs"):
        assert report["total"][key] == sum(layer[key] for layer in report["layers"])
    assert report.get("dense_twin", {}).get("model") == twin
    if twin:
        dense = cli("profile", twin, *settings, "--json").json
        assert report["dense_twin"]["total"] == dense["total"]
        assert report["total"]["macs"] < dense["total"]["macs"]
    table = cli("profile", name, *settings)
    assert f"{report['total']['macs']:,}" in table.out
    assert ("dense:" in table.out) == (twin is not None)


def test_profile_depth(cli: Cli) -> None:
    sizes = []
    for depth in (1, 2, 0):
        report = cli("profile", "mgic_diffgcn", "--num_points", 32, "--depth", depth, "--json").json
        sizes.append(len(report["layers"]))
    assert sizes == sorted(sizes)
    assert sizes[0] == len(["stem", "stage1", "mix1", "stage2", "mix2", "head", "fc"])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--num_points", 10), "cloud 0 has 10 points, k = 10 needs at least 11"),
        (("--width", 0), "width = 0: it must be at least 1"),
        (("--width", 36, "--coarsest", 4), "odd width 9"),
    ],
)
def test_profile_of_what_cannot_be_built(cli: Cli, options: tuple[Any, ...], text: str) -> None:
    done = cli("profile", "mgic_diffgcn", *options)
    assert (done.code, done.out) == (1, "")
    assert text in done.err
    assert done.err.count("\n") == 1
