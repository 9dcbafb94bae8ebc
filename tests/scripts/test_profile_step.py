from __future__ import annotations

import csv
from pathlib import Path

import pytest

from scripts.profile_step import KINDS, kind_of, main


@pytest.mark.parametrize(
    ("name", "weight", "kind"),
    [
        ("aten::mkldnn_convolution", [16, 16, 3, 3], "3x3, dense"),
        ("aten::convolution_backward", [16, 8, 3, 3], "3x3, in groups"),
        ("aten::mkldnn_convolution", [32, 1, 3, 3], "3x3, depthwise"),
        ("aten::mkldnn_convolution", [32, 16, 1, 1], "1x1"),
    ],
)
def test_convolutions_are_told_apart_by_their_weight(
    name: str, weight: list[int], kind: str
) -> None:
    image = [2, 16, 8, 8]
    before = [[2, 16, 8, 8]] if "backward" in name else []
    assert kind_of(name, [*before, image, weight, []]) == kind


def test_other_operators_are_told_apart_by_name() -> None:
    names = ("mgic_geo::norm_act", "mgic_geo::grouped_pointwise", "aten::add", "aten::mm")
    found = [kind_of(name, []) for name in names]
    assert found == ["norms", "restriction, prolongation", "sums, ReLU", "other"]


def test_the_kinds_of_a_step_add_up(tmp_path: Path) -> None:
    out = tmp_path / "steps.csv"
    networks = ["resnet20", 'mgic_resnet20 {"norm": "none", "convs": 1}']
    main([*networks, "--batch", "2", "--repeats", "1", "--out", str(out)])
    with out.open() as file:
        dense, mgic = csv.DictReader(file)
    assert (dense["options"], mgic["options"]) == ("", '{"norm": "none", "convs": 1}')
    for row in (dense, mgic):
        parts = sum(float(row[f"{kind}, ms"]) for kind in KINDS)
        assert parts == pytest.approx(float(row["step, ms"]), abs=len(KINDS))
        assert row["commit"] or row["versions"]
    assert (
        float(dense["3x3, in groups, ms"]) == 0.0 == float(dense["restriction, prolongation, ms"])
    )
    assert float(mgic["restriction, prolongation, ms"]) > 0.0
