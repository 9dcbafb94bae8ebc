from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgic_geo.errors import DataError
from mgic_geo.viz import ReportCloud, check_report_path, write_report
from mgic_geo.viz.report._points import LEAST, LEVELS, MOST, fit_into, worst_first

for module in ("jinja2", "markdown_it", "plotly"):
    pytest.importorskip(module, reason="reports need the extra viz")

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def cloud(
    name: str = "a.ply",
    label: str = "sofa",
    share: float = 0.9,
    truth: str | None = None,
    points: int = 40,
    **options: Any,
) -> ReportCloud:
    drawn = np.random.default_rng(len(name)).normal(size=(points, 3)) * [3.0, 1.0, 0.5] + 7.0
    return ReportCloud(drawn, name, [(label, share), ("bed", 1.0 - share)], truth, **options)


def inner(page: str, element: str) -> str:
    found = re.search(rf'<script type="[\w/]+" id="{element}">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return found[1]


def unpacked(page: str, element: str) -> bytes:
    return gzip.decompress(base64.b64decode(inner(page, element)))


def test_one_file_holds_all_and_asks_for_nothing(tmp_path: Path) -> None:
    path = write_report(tmp_path / "new" / "folder" / "out.html", [cloud(truth="sofa")])
    page = path.read_text("utf-8")
    assert list(path.parent.iterdir()) == [path]
    rest = page.replace(inner(page, "plotly"), "")
    assert not re.search(r"https?://|url\(|@import|<(img|iframe|object|embed)\b", rest)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")


def test_only_its_own_scripts_may_run(tmp_path: Path) -> None:
    page = write_report(tmp_path / "out.html", [cloud()]).read_text("utf-8")
    own = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert own is not None
    for code in (own[1].encode(), unpacked(page, "plotly")):
        digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
        assert f"'sha256-{digest}'" in page


def test_names_are_text(tmp_path: Path) -> None:
    page = write_report(
        tmp_path / "out.html",
        [cloud(EVIL, EVIL, truth=EVIL, note=EVIL)],
        title=EVIL,
        facts={EVIL: EVIL},
        timings={EVIL: 1.0},
        card=f"# {EVIL}\n\n{EVIL} [a](javascript:alert(1))",
        failures={EVIL: EVIL},
    ).read_text("utf-8")
    assert "alert(1)</script>" not in page
    assert "<img" not in page
    assert "href" not in page.replace('<link rel="icon" href="data:,">', "")
    entry = json.loads(inner(page, "data"))["clouds"][0]
    assert entry["name"] == entry["note"] == EVIL


def test_points_and_importances_come_back(tmp_path: Path) -> None:
    importance = np.linspace(-2.0, 1.0, 40)
    importance[5] = 0.0
    clouds = [cloud("a", points=30), cloud("bb", importance=importance)]
    page = write_report(tmp_path / "out.html", clouds).read_text("utf-8")
    entries = json.loads(inner(page, "data"))["clouds"]
    data = unpacked(page, "points")
    assert [e["points"] for e in entries] == [30, 40]
    assert [e["explained"] for e in entries] == [False, True]
    assert len(data) == 30 * 6 + 40 * 7
    at = 0
    for entry, given in zip(entries, clouds):
        count = entry["points"]
        steps = np.frombuffer(data, "<u2", 3 * count, at).reshape(3, count).T / LEVELS
        want = given.xyz - (given.xyz.max(0) + given.xyz.min(0)) / 2
        want /= np.ptp(given.xyz, axis=0).max()
        assert np.abs(steps - 0.5 - want).max() <= 0.5 / LEVELS + 1e-9
        at += 6 * count
    shades = np.frombuffer(data, np.uint8, 40, at).astype(int) - 128
    assert shades[5] == 0
    assert (np.sign(shades) == np.sign(np.round(127 * importance / 2))).all()
    assert shades.min() == -127


def test_worst_mistakes_stand_first_then_classes_in_turn() -> None:
    clouds = [
        cloud("a", "sofa", 0.9, "sofa"),
        cloud("b", "sofa", 0.6, "bed"),
        cloud("c", "sofa", 0.8, "sofa"),
        cloud("d", "sofa", 0.8, "bed"),
        cloud("e", "bed", 0.8, "bed"),
    ]
    assert [clouds[i].name for i in worst_first(clouds)] == ["d", "b", "a", "e", "c"]
    assert worst_first([cloud(), cloud(share=0.2)]) == [0, 1]


def test_room_is_shared() -> None:
    of_one = 7 * 4 / 3
    assert fit_into(10, int(20 * MOST * of_one)) == (10, MOST)
    count, points = fit_into(10, int(5.01 * MOST * of_one))
    assert (count, points) == (10, 513)
    count, points = fit_into(100, int(10.01 * LEAST * of_one))
    assert (count, points) == (10, LEAST)
    assert fit_into(100, -5) == (1, LEAST)


def test_two_hundred_clouds_stay_below_five_megabytes(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).normal(size=(1024, 3))
    importance = drawn[:, 2]
    clouds = [
        ReportCloud(drawn, f"shape_{i:04d}.off", [("sofa", 0.5)], importance=importance)
        for i in range(200)
    ]
    page = write_report(tmp_path / "out.html", clouds)
    assert page.stat().st_size < 5_000_000
    assert json.loads(inner(page.read_text(), "data"))["clouds"][-1]["points"] == MOST


def test_more_clouds_than_fit_are_counted_and_mistakes_are_kept(tmp_path: Path) -> None:
    clouds = [cloud(f"{i:03d}", truth="bed" if i % 50 == 7 else "sofa") for i in range(300)]
    clouds = [ReportCloud(np.tile(c.xyz, (20, 1)), c.name, c.top, c.truth) for c in clouds]
    least = write_report(tmp_path / "one.html", clouds[:1]).stat().st_size
    path = write_report(tmp_path / "out.html", clouds, max_bytes=least + 200_000)
    page = path.read_text("utf-8")
    names = [entry["name"] for entry in json.loads(inner(page, "data"))["clouds"]]
    assert path.stat().st_size < least + 200_000
    assert 6 < len(names) < 300
    assert {f"{i:03d}" for i in range(7, 300, 50)} == set(names[:6])
    assert f"{len(names)} of 300 clouds are in this file" in page
    assert 'aria-label="sofa taken for sofa: 294"' in page
    assert 'aria-label="bed taken for sofa: 6"' in page


def test_figures_are_those_of_the_clouds(tmp_path: Path) -> None:
    clouds = [cloud("a", truth="sofa"), cloud("b", truth="sofa"), cloud("c", truth="bed")]
    page = write_report(tmp_path / "out.html", clouds, timings={"network": 0.0123}).read_text()
    figures = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    assert figures["accuracy"] == "66.67 %"
    assert figures["mean class accuracy"] == "50.00 %"
    assert figures["mistakes"] == "1"
    assert figures["network"] == "12.3 ms"
    assert 'id="matrix"' not in write_report(tmp_path / "b.html", [cloud()]).read_text()


def test_refusals(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.html").mkdir()
    for name, text in {
        "out.pdf": "is an HTML file",
        "folder.html": "this is a folder",
        "file/out.html": "file is a file, not a folder",
    }.items():
        for call in (check_report_path, lambda path: write_report(path, [cloud()])):
            with pytest.raises(DataError, match=text):
                call(tmp_path / name)
    with pytest.raises(DataError, match="no cloud to report"):
        write_report(tmp_path / "out.html", [])
    with pytest.raises(DataError, match="lack sofa"):
        write_report(tmp_path / "out.html", [cloud()], classes=["bed"])
    for options, text in (
        ({"points": np.zeros((3, 2))}, r"\[n, >= 3\], got \[3, 2\]"),
        ({"points": np.full((3, 3), np.nan)}, "must be finite"),
        ({"top": []}, "likeliest class"),
        ({"importance": np.zeros(4)}, "3 points have importances"),
    ):
        given: dict[str, Any] = {"points": np.zeros((3, 3)), "name": "a", "top": [("b", 1.0)]}
        with pytest.raises(DataError, match=text):
            ReportCloud(**{**given, **options})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.html"]


@pytest.mark.parametrize("module", ["jinja2", "markdown_it", "plotly.offline"])
def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    from mgic_geo.viz.report._page import check_packages

    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"mgic_geo\[viz\]"):
        check_packages()
