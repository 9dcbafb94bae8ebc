"""The page of a report from its template, script and style."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from mgic_geo._optional import require


def render(**values: Any) -> str:
    """The page; text in ``values`` is escaped where it stands in HTML."""
    jinja2 = require("jinja2", extra="viz")
    source = _text("page.html")
    made = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = _text("page.js")
    return str(
        made.from_string(source).render(
            style=_text("page.css"),
            script=script,
            # only these two may run, whatever else finds its way into the page
            hashes=f"'{_sha256(script)}' '{_sha256(plotly_js())}'",
            plotly=_packed_plotly(),
            **values,
        )
    )


def check_packages() -> None:
    """Whether the packages of the extra ``viz`` that a report needs are there.

    Raises:
        ImportError: One is not; the message says which.
    """
    for name in ("jinja2", "markdown_it", "plotly.offline"):
        require(name, extra="viz")


@cache
def plotly_js() -> str:
    """The script of plotly, as its package has it."""
    return str(require("plotly.offline", extra="viz").get_plotlyjs())


@cache
def _packed_plotly() -> str:
    return packed(plotly_js().encode())


def packed(data: bytes) -> str:
    """Compressed, as text; the same for the same data."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def as_script_data(value: Any) -> str:
    """JSON that stands in a script element: nothing in it ends the element or begins a comment."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def card_as_html(card: str) -> str:
    """A model card in Markdown as HTML, below the headings of the page; its own HTML is text."""
    markdown = require("markdown_it", extra="viz").MarkdownIt("commonmark", {"html": False})
    tokens = markdown.enable("table").disable("image").parse(card)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + 2, 6)}"
    text = str(markdown.renderer.render(tokens, markdown.options, {}))
    text = text.replace("<table>", '<div class="wide" tabindex="0"><table>')
    return text.replace("</table>", "</table></div>")


def matrix_rows(
    classes: Sequence[str], counts: Mapping[tuple[str, str], int]
) -> list[dict[str, Any]]:
    """Rows of the confusion matrix with shares of each cell in its row."""
    rows = []
    for truth in classes:
        row = [counts.get((truth, predicted), 0) for predicted in classes]
        total = sum(row)
        right = counts.get((truth, truth), 0)
        cells = [
            {"predicted": name, "count": count, "share": round(count / max(total, 1), 3)}
            for name, count in zip(classes, row)
        ]
        accuracy = f"{100 * right / total:.1f} %" if total else "–"
        rows.append({"truth": truth, "total": total, "accuracy": accuracy, "cells": cells})
    return rows


def seconds_as_text(seconds: float) -> str:
    """A time in a unit that fits."""
    if seconds < 1.0:
        return f"{1000 * seconds:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _sha256(code: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()


def _text(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")
