"""Counts what the pages of the reference say, and what they leave out.

    python -m scripts.check_docs

A page of a public name needs a first sentence and these sections, as far as they apply:

- ``Args`` (or ``Attributes``) with every argument, and with the shape of each tensor that a
  function takes;
- ``Returns`` (or ``Yields``) where a function returns something, with a shape where it is a tensor;
- ``Shapes``, or a shape elsewhere, where a layer takes or gives tensors;
- ``Raises`` where the code raises, itself or by a function named ``check...``;
- ``Example`` with lines that run as a doctest. Those of ``NOT_RUN`` may show a block instead.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from scripts.public_names import all_names

# Names whose example cannot run as a doctest, and why.
_EXPORT = "an export and its check in an engine take seconds"
NOT_RUN = {
    "mgic_geo.export.Difference": _EXPORT,
    "mgic_geo.export.ExportReport": _EXPORT,
    "mgic_geo.export.ExportedModel": _EXPORT,
    "mgic_geo.export.Quantized": _EXPORT,
    "mgic_geo.export.export": _EXPORT,
    "mgic_geo.export.load_exported": _EXPORT,
    "mgic_geo.io.load_clouds_h5": "needs h5py, and reads in a process of its own",
    "mgic_geo.models.register_model": "would stay registered while other tests list the models",
    "mgic_geo.transforms.PoissonDiskSampling": "needs Open3D, whose import takes seconds",
    "mgic_geo.transforms.poisson_disk": "needs Open3D, whose import takes seconds",
}

_SHAPE = re.compile(r"\[[^\]]*[A-Za-z0-9][^\]]*\]|:math:`\(|\bscalar\b")
_ELSEWHERE = re.compile(r"\b(As|See|Those) (in|of|for|there)\b|:(func|meth|class):|[Nn]ot used")
_SECTION = re.compile(r"^([A-Z][a-z]+):$", re.MULTILINE)
_ENTRY = re.compile(r"^    \*{0,2}(\w+)(?: \([^)]*\))?:", re.MULTILINE)
_NO_RESULT = (None, "None", "Iterator[None]")  # the last one of a context manager


def missing(name: str, value: Any) -> Iterator[str]:
    """What a page lacks, each as a word.

    Args:
        name: With its package.
        value: What it names.
    """
    if not callable(value):
        return
    text = inspect.getdoc(value) or ""
    first = text.partition("\n")[0].strip()
    if not first or _SECTION.match(first):
        yield "summary"
        return
    if inspect.isclass(value) and issubclass(value, BaseException):
        return
    sections = _sections(text)
    entries = _entries(sections.get("Args", "")) | _entries(sections.get("Attributes", ""))
    for argument in _arguments(value):
        if argument not in entries:
            yield f"argument {argument}"
    yield from _missing_shapes(value, text, sections, entries)
    if _raises(value) and "Raises" not in _sections(_all_text(value)):
        yield "errors"
    if _returns(value) and not sections.keys() & {"Returns", "Yields"}:
        yield "returns"
    example = sections.get("Example", "")
    if ">>>" not in example and not (name in NOT_RUN and "::\n" in example):
        yield "example"


def _missing_shapes(
    value: Any, text: str, sections: dict[str, str], entries: dict[str, str]
) -> Iterator[str]:
    if inspect.isclass(value):
        notes = [note for m in _methods(value) for note in m.__annotations__.values()]
        if any(map(_is_tensor, notes)) and not _SHAPE.search(_all_text(value)):
            yield "shapes"
        return
    for argument, note in _methods(value)[0].__annotations__.items():
        said = entries.get(argument)
        if argument == "return":
            said = sections.get("Returns", sections.get("Yields"))
        if _is_tensor(note) and said and not (_SHAPE.search(said) or _ELSEWHERE.search(said)):
            yield f"shapes of {argument}"


def _is_tensor(note: Any) -> bool:
    """Whether an annotation is a tensor, or may be one; not a function of tensors."""
    return re.search(r"\bTensor\b", str(note)) is not None and "Callable" not in str(note)


def _sections(text: str) -> dict[str, str]:
    """The sections of a docstring by their names."""
    parts = _SECTION.split(text)
    return dict(zip(parts[1::2], parts[2::2]))


def _entries(section: str) -> dict[str, str]:
    """What a section says of each name."""
    parts = _ENTRY.split(section)
    return dict(zip(parts[1::2], parts[2::2]))


def _arguments(value: Any) -> list[str]:
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    skipped = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.kind not in skipped and not p.name.startswith("_")]


def _methods(value: Any) -> list[Callable[..., Any]]:
    if not inspect.isclass(value):
        return [inspect.unwrap(getattr(value, "function", value))]
    found = [vars(value).get(name) for name in ("__init__", "__post_init__", "forward", "__call__")]
    return [method for method in found if inspect.isfunction(method)]


def _all_text(value: Any) -> str:
    texts = [inspect.getdoc(value) or ""]
    return "\n".join(texts + [inspect.getdoc(method) or "" for method in _methods(value)])


def _raises(value: Any) -> bool:
    for method in _methods(value):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
        except (OSError, TypeError, SyntaxError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and node.exc:
                return True
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and re.match("_?check", called.id):
                return True
    return False


def _returns(value: Any) -> bool:
    if inspect.isclass(value):
        return False
    return _methods(value)[0].__annotations__.get("return") not in _NO_RESULT


def main() -> int:
    names = all_names()
    gaps = Counter[str]()
    for package, name, value in names:
        found = list(missing(f"{package}.{name}", value))
        gaps.update(word.partition(" ")[0] for word in found)
        if found:
            print(f"{package}.{name}: {', '.join(found)}")
    total = (
        ", ".join(f"{count} without {word}" for word, count in gaps.items()) or "nothing missing"
    )
    print(f"{len(names)} names: {total}")
    return int(bool(gaps))


if __name__ == "__main__":
    sys.exit(main())
