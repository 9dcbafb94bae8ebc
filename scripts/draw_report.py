"""Opens a report of 200 clouds in Chromium: its size, how long it takes to open, its picture.

    python -m scripts.draw_report                                   # of Furniture-10
    python -m scripts.draw_report --picture docs/assets/report.png

Needs playwright and Chromium (``CHROMIUM=``, or the one that is installed). Times are those of this
machine, without a GPU: plotly draws by software. The median of some openings in new tabs counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mgic_geo.cli import main as mgic_geo
from mgic_geo.errors import DataError

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def find_chromium() -> str:
    """The browser's program.

    Raises:
        DataError: There is none.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise DataError("no Chromium: apt-get install chromium")
    return found


def open_report(browser: Any, report: Path) -> tuple[Any, float, float]:
    """A tab with the report, and seconds until its pictures and until its 3-D view are there."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto(report.as_uri())
    tab.wait_for_selector("html[data-ready=true]", timeout=120_000)
    marks = tab.evaluate("performance.getEntriesByType('mark').map(m => [m.name, m.startTime])")
    at = {name: milliseconds / 1000.0 for name, milliseconds in marks}
    return tab, at["clouds"], at["view"]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--picture", type=Path, help="where to put a picture of the page")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        report = Path(folder) / "report.html"
        command = ["evaluate", "--data", "furniture10", "--root", folder, "--report", str(report)]
        if mgic_geo(command) != 0:
            return 1
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        times = []
        for _ in range(options.rounds):
            tab, *seconds = open_report(browser, report)
            times.append(seconds)
            if options.picture and len(times) == options.rounds:
                tab.wait_for_timeout(500)
                tab.screenshot(path=options.picture)
            tab.close()
        browser.close()
        pictures, view = (statistics.median(column) for column in zip(*times))
        size = report.stat().st_size
        print(f"{size / 1e6:.2f} MB, pictures after {pictures:.2f} s, 3-D after {view:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
