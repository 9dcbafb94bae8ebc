from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_runs(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {})


def test_named_files_exist(repository: Path) -> None:
    linked = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    assert linked
    assert [name for name in linked if not (repository / name).exists()] == []


def test_it_is_read_in_five_minutes() -> None:
    assert len(README.splitlines()) <= 120
