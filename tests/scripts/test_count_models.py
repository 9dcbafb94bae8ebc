from __future__ import annotations

import csv
from pathlib import Path

import pytest

from scripts.count_models import ROWS, Row, count

COMMITTED = Path(__file__).parents[2] / "results" / "counts.csv"


@pytest.mark.parametrize(
    "row",
    [
        next(row for row in ROWS if row.model == name)
        for name in ("mgic_resnet56", "mgic_mobilenetv3", "lraspp_mgic_small", "resnet56")
    ]
    + [
        Row("mgic_resnet50", {"width": 32, "group_size": 8, "coarsest": 16}),
        Row("mgic_resnet20", {"norm": "none", "convs": 1, "widening": 4}),
        Row("mgic_resnet20", {"fine": "separable", "group_size": 16, "transition": "grouped"}),
    ],
    ids=str,
)
def test_the_closed_formula_predicts_what_is_built(row: Row) -> None:
    found = count(row)
    assert found["predicted_parameters"] == found["parameters"]
    assert found["predicted_macs"] == found["macs"]
    if row.paper:
        with COMMITTED.open() as file:
            rows = list(csv.DictReader(file))
        same = [r for r in rows if (r["model"], r["options"]) == (row.model, found["options"])]
        assert [{key: str(value) for key, value in found.items()}] == [
            {key: r[key] for key in found} for r in same
        ]
