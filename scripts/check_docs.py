"""Counts what the pages of the reference say, and what they leave out.

    python -m scripts.check_docs

A page of a public name needs: a first sentence; every argument under ``Args`` (or ``Attributes``,
of a dataclass); a shape where a tensor goes in or comes out; ``Returns`` where the first sentences
do not end the matter; ``Raises`` where the code raises; an example that runs as a doctest.
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

_SHAPE = re.compile(r"\[[^\]]*[A-Za-z0-9][^\]]*\]|:math:`\(|\bscalar\b")
_RAISES = re.compile(r"^\s*Raises:", re.MULTILINE)


def missing(name: str, value: Any) -> Iterator[str]:
    """What a page lacks, each as a word."""
    if not callable(value):
        return
    text = inspect.getdoc(value) or ""
    if not text.partition("\n")[0].strip():
        yield "summary"
        return
    if inspect.isclass(value) and issubclass(value, BaseException):
        return
    for argument in _arguments(value):
        if not re.search(rf"(^|\s|\*|\b){re.escape(argument)}\b\s*(\([^)]*\))?:", text):
            yield f"argument {argument}"
    if _handles_tensors(value) and not _SHAPE.search(_all_text(value)):
        yield "shapes"
    if _own_raises(value) and not _RAISES.search(_all_text(value)):
        yield "errors"
    if (
        not inspect.isclass(value)
        and _returns(value)
        and not re.search("[Rr]eturn|``|:class:", text)
    ):
        yield "returns"
    if ">>>" not in text:
        yield "example"


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


def _handles_tensors(value: Any) -> bool:
    return any(
        "Tensor" in str(note) for m in _methods(value) for note in m.__annotations__.values()
    )


def _own_raises(value: Any) -> bool:
    for method in _methods(value):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
        except (OSError, TypeError, SyntaxError):
            continue
        if any(isinstance(node, ast.Raise) and node.exc for node in ast.walk(tree)):
            return True
    return False


def _returns(value: Any) -> bool:
    return _methods(value)[0].__annotations__.get("return") not in (None, "None")


def main() -> int:
    names = all_names()
    gaps = Counter[str]()
    for package, name, value in names:
        found = list(missing(name, value))
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
