"""Texts of the repository as pages: their links are made to hold from where the page stands."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

# What follows the own words of a page.
INCLUDED = {
    "results": "results/README.md",
    "more/changelog": "CHANGELOG.md",
    "more/contributing": "CONTRIBUTING.md",
    "more/kernels": "mgic_geo/kernels/README.md",
}
_LINK = re.compile(r"(!?\[[^\]]*\])\((?!https?:|#)([^)\s]+)\)")


def _source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname not in INCLUDED:
        return
    root, page = Path(app.srcdir).parent, Path(app.srcdir) / docname
    origin = root / INCLUDED[docname]
    text = origin.read_text("utf-8")
    if source[0].strip():  # the page has a heading of its own
        text = text.partition("\n")[2]

    def moved(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(origin.parent / match[2].partition("#")[0]))
        if not target.is_file() or target.suffix == ".md":
            return match[1].strip("![]")  # a folder, or a text that is no page here
        return f"{match[1]}({os.path.relpath(target, page.parent)})"

    source[0] += "\n" + _LINK.sub(moved, text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
