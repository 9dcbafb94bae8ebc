from __future__ import annotations

import graphlib
from pathlib import Path

import pytest

from scripts import draw_house
from scripts.draw_house import imports_of, storeys

# From the ground up; who stands lower imports nothing that stands higher.
PACKAGE = [
    "errors", "hierarchy", "io", "kernels", "graph", "nn", "transforms", "datasets", "models",
    "training", "cli",
]  # fmt: skip
KERNELS = ["cpu", "gpu", "dispatch", "operator", "diff_conv", "correction", "diff_cycle"]


@pytest.mark.parametrize(("place", "order"), [("mgic_geo", PACKAGE), ("mgic_geo/kernels", KERNELS)])
def test_no_arrow_runs_up(place: str, order: list[str]) -> None:
    imports = imports_of(draw_house.ROOT / place)  # raises where there is a circle
    for level, room in enumerate(order):
        above = set(order[level + 1 :])
        assert not imports[room] & above, f"{room} imports what stands above it"
    rows = storeys(imports)
    height = {room: level for level, row in enumerate(rows) for room in row}
    assert all(height[used] < height[room] for room in imports for used in imports[room])
    assert len(height) == len(imports)


def test_the_core_knows_no_domain() -> None:
    """Operators know neither layers nor data, and the hierarchy knows nothing at all."""
    imports = imports_of()
    assert imports["hierarchy"] == set()
    assert imports["kernels"] <= {"errors"}


def test_circles_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "house").mkdir()
    for room, other in (("a", "b"), ("b", "a")):
        text = f"def f():\n    from house.{other} import g\n"
        (tmp_path / "house" / f"{room}.py").write_text(text)
    monkeypatch.setattr(draw_house, "ROOT", tmp_path)
    with pytest.raises(graphlib.CycleError):
        imports_of(tmp_path / "house")


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw_house.main(str(tmp_path / "house.png"))
    assert (tmp_path / "house.png").stat().st_size > 10_000
