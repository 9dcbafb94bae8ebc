"""Pages of the reference, one for each public name, written before the build."""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

from scripts.public_names import PACKAGES, all_names


def _directive(value: Any) -> str:
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, BaseException) else "autoclass"
    return "autofunction" if callable(value) else "autodata"


def _page(package: str, name: str, value: Any) -> str:
    options = ""
    if inspect.isclass(value):
        options = "   :members:\n   :show-inheritance:\n"
    title = f"{package}.{name}"
    if not callable(value):
        text = textwrap.indent(_text_of_data(name, value), "   ")
        return f"{name}\n{'=' * len(name)}\n\n.. py:data:: {title}\n\n{text}\n"
    return (
        f"{name}\n{'=' * len(name)}\n\n.. currentmodule:: {package}\n\n"
        f".. {_directive(value)}:: {title}\n{options}"
    )


def _text_of_data(name: str, value: Any) -> str:
    """The text below a constant, wherever in the package it is defined."""
    for module_name, module in sorted(sys.modules.items()):
        if module_name.startswith("mgic_geo") and vars(module).get(name) is value:
            texts = ModuleAnalyzer.for_module(module_name).find_attr_docs()
            if ("", name) in texts:
                return "\n".join(texts["", name])
    return ""


def _summary(value: Any) -> str:
    text = inspect.getdoc(value) if callable(value) else ""
    return (text or "").partition("\n")[0].replace("|", r"\|")


def write_pages(folder: Path) -> None:
    """All pages of the reference below ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found = all_names()
    for package, about in PACKAGES.items():
        members = [(name, value) for where, name, value in found if where == package]
        if not members:
            continue
        lines = [
            package,
            "=" * len(package),
            "",
            about,
            "",
            ".. list-table::",
            "   :widths: 1 2",
            "",
        ]
        for name, value in members:
            lines += [f"   * - :doc:`{name} <{package}.{name}>`", f"     - {_summary(value)}"]
            (folder / f"{package}.{name}.rst").write_text(_page(package, name, value), "utf-8")
        lines += ["", ".. toctree::", "   :hidden:", ""]
        lines += [f"   {package}.{name}" for name, _ in members]
        (folder / f"{package}.rst").write_text("\n".join(lines) + "\n", "utf-8")


def _before_build(app: Sphinx) -> None:
    write_pages(Path(app.srcdir) / "reference" / "api")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", _before_build, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
