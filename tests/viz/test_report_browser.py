"""Reports in Chromium: what a reader sees and may do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgic_geo.viz import ReportCloud, write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
for module in ("jinja2", "markdown_it"):
    pytest.importorskip(module, reason="reports need the extra viz")
Image = pytest.importorskip("PIL.Image", reason="pictures of pages are read by Pillow")

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
CLASSES = ["bed", "chair", "sofa"]
EVIL = "<script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clouds; of the sofas, two are taken for beds."""
    draw = np.random.default_rng(0)
    clouds = []
    for i in range(12):
        truth = CLASSES[i % 3]
        taken = "bed" if i in (2, 5) else truth
        share = 0.5 + 0.03 * i
        others = [(name, (1 - share) / 2) for name in CLASSES if name != taken]
        points = draw.normal(size=(300, 3)) * [1.0, 0.6, 0.3 + 0.1 * (i % 3)]
        name = EVIL if i == 5 else f"{truth}_{i}"
        clouds.append(
            ReportCloud(
                points,
                name,
                [(taken, share), *others],
                truth,
                importance=points[:, 2],
                seconds=0.01,
            )
        )
    path = tmp_path_factory.mktemp("report") / "out.html"
    card = "# a-card\n\n| class | accuracy |\n|---|---|\n| bed | 95 % |\n"
    return write_report(path, clouds, title="Evaluation report", card=card, timings={"all": 1.0})


class Page:
    """A report in a tab, with all that it asked for or complained of."""

    def __init__(self, browser: Any, report: Path, **options: Any) -> None:
        self.tab = browser.new_page(**options)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.goto(report.as_uri())
        self.tab.wait_for_selector("html[data-ready=true]", timeout=120_000)

    def cards(self) -> list[str]:
        return self.tab.locator("#grid b").all_inner_texts()

    def colours(self, selector: str) -> int:
        """Different colours in a picture of an element: 1 if it is blank."""
        self.tab.wait_for_timeout(300)
        picture = Image.open(BytesIO(self.tab.locator(selector).first.screenshot()))
        return len(picture.convert("RGB").quantize(64).getcolors())


@pytest.fixture(scope="module")
def page(browser: Any, report: Path) -> Iterator[Page]:
    made = Page(browser, report, viewport={"width": 1280, "height": 900})
    yield made
    made.tab.close()


def test_it_is_quiet_and_asks_for_nothing_else(page: Page, report: Path) -> None:
    assert page.said == []
    assert page.asked == [report.as_uri()]
    assert page.tab.title() == "Evaluation report"  # the script in a name did not run
    assert page.tab.locator("#trouble").is_hidden()


def test_the_view_and_the_small_pictures_are_not_blank(page: Page) -> None:
    assert page.tab.locator("#plot canvas").count() > 0
    assert page.colours("#plot") > 20
    assert page.colours("#grid canvas") > 10


def test_worst_mistakes_stand_first(page: Page) -> None:
    page.tab.get_by_role("button", name="Worst mistakes first (2)").click()
    assert page.cards() == [EVIL.rsplit("/", 1)[-1], "sofa_2"]
    assert page.tab.locator("#name").inner_text() == EVIL
    assert page.tab.locator("#note").inner_text().startswith("wrong: it is sofa")
    assert page.tab.locator("#bars dt").all_inner_texts()[0] == "bed"
    assert page.tab.locator("#bars span").all_inner_texts()[0] == "65.0 %"


def test_a_cell_shows_its_clouds(page: Page) -> None:
    page.tab.get_by_label("chair taken for chair: 4").click()
    assert sorted(page.cards()) == ["chair_1", "chair_10", "chair_4", "chair_7"]
    assert page.tab.locator("#name").inner_text() in page.cards()
    assert page.tab.locator("#matrix [aria-pressed=true]").count() == 1
    page.tab.get_by_label("sofa taken for bed: 2").click()
    assert len(page.cards()) == 2
    page.tab.get_by_role("button", name="All (12)").click()
    assert len(page.cards()) == 12
    assert page.tab.locator("#matrix [aria-pressed=true]").count() == 0


def test_a_small_picture_a_key_and_a_search_choose_the_cloud(page: Page) -> None:
    page.tab.get_by_role("button", name="All (12)").click()
    page.tab.locator("#grid button").nth(4).click()
    fifth = page.tab.locator("#name").inner_text()
    assert fifth == page.cards()[4]
    page.tab.get_by_label("next cloud").click()
    assert page.tab.locator("#name").inner_text() == page.cards()[5]
    page.tab.locator("#search").fill("chair_10")
    assert page.cards() == ["chair_10"]
    page.tab.locator("#search").fill("nothing like it")
    assert page.cards() == []
    page.tab.locator("#search").fill("")


def test_arrow_keys_turn_the_cloud(page: Page) -> None:
    def eye() -> list[float]:
        text = "e => Object.values(e._fullLayout.scene._scene.getCamera().eye)"
        return list(page.tab.locator("#plot").evaluate(text))

    before = eye()
    page.tab.locator("#plot").press("ArrowLeft")
    page.tab.wait_for_timeout(500)
    assert np.linalg.norm(np.subtract(eye(), before)) > 0.1
    assert np.linalg.norm(eye()) == pytest.approx(np.linalg.norm(before), rel=1e-3)


def test_colours_by_importance_or_by_height(page: Page) -> None:
    assert page.tab.locator("#scale-low").inner_text() == "against"
    page.tab.get_by_label("Colour").select_option("height")
    assert page.tab.locator("#scale-low").inner_text() == "low"
    assert page.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_scrolling_aside(browser: Any, report: Path, scheme: str) -> None:
    made = Page(browser, report, viewport={"width": 400, "height": 850}, color_scheme=scheme)
    wide = "() => document.documentElement.scrollWidth"
    ground = made.tab.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert made.tab.locator("html").evaluate(wide) == 400
    assert made.said == []
    assert (ground == "rgb(16, 20, 24)") == (scheme == "dark")
    made.tab.close()


def test_without_webgl_one_side_is_shown(browser: Any, report: Path) -> None:
    tab = browser.new_page()
    tab.add_init_script(
        "const get = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        " return kind.startsWith('webgl') ? null : get.call(this, kind, ...rest); };"
    )
    tab.goto(report.as_uri())
    tab.wait_for_selector("html[data-ready=true]", timeout=120_000)
    assert "no WebGL" in tab.locator("#trouble").inner_text()
    assert tab.locator("#plot canvas").count() == 1
    tab.close()
