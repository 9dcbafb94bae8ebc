"""The texts of the site: their code runs, their numbers are those of the rows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.docs_numbers import TABLES, filled, pages
from scripts.run_page import blocks, pictures, run_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
WITH_CODE = [page for page in pages() if page != ROOT / "README.md" and list(blocks(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_page_runs(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pages draw pictures")
    run_page(page, tmp_path)


def test_a_page_that_is_wrong_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for code, error in (
        ("```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n", AssertionError),
        ("```bash\nmgic-geo profile nothing\n```\n", RuntimeError),
        ("![A picture](pictures/none.png)\n", AssertionError),
    ):
        page.write_text(code)
        folder = tmp_path / error.__name__ / str(len(code))
        folder.mkdir(parents=True)
        with pytest.raises(error):
            run_page(page, folder)


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_shown_pictures_are_there(page: Path) -> None:
    assert [name for name in pictures(page) if not (page.parent / name).is_file()] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_numbers_are_those_of_the_rows(page: Path) -> None:
    """``make docs-numbers`` writes them."""
    text = page.read_text("utf-8")
    assert filled(text) == text


def test_a_wrong_number_is_noticed() -> None:
    text = f"<!-- numbers: weights -->\n{TABLES['weights']()}<!-- end -->\n"
    assert filled(text) == text
    assert filled(text.replace("28,672", "28,673")) == text


def test_claimed_tests_exist() -> None:
    text = (DOCS / "more" / "claims.md").read_text("utf-8")
    claimed = re.findall(r"`(tests/[\w/]+(?:\.py|/))`", text)
    assert len(claimed) > 20
    assert [name for name in claimed if not (ROOT / name).exists()] == []


def test_no_page_names_a_machine() -> None:
    for page in pages():
        assert not re.search(r"(?<![\w.])/(home|root|work|tmp|opt)/", page.read_text("utf-8")), page
