"""Options within options: ``--model_options.point_options.k 6``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jsonargparse import ArgumentParser, Namespace

_DEEP = re.compile(r"^--\w+\.\w+\.[\w.]+")  # up to the value, which may follow behind a "="
_JOINED = "/"  # a key with it is one word for the parser


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Parses a command line that may set single values in the dicts of a dict.

    The parser itself sets ``--name.key value``, but of ``--name.outer.key value`` it keeps a text
    and drops what ``outer`` held, in a config file or from the option before.
    """
    options = parser.parse_args([_DEEP.sub(_join, text, count=1) for text in arguments])
    for name, value in vars(options).items():
        if isinstance(value, dict):
            options[name] = nested(value, _JOINED)
    return options


def nested(flat: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """The dict of dicts that paths such as ``outer.key`` name; later values replace earlier ones.

    Raises:
        ValueError: A path leads into what is no dict.
    """
    result: dict[str, Any] = {}
    for path, value in flat.items():
        *outer, last = path.split(separator)
        inside = result
        for name in outer:
            inner = inside.get(name)
            if not isinstance(inner, dict | None):
                raise ValueError(f"{name} = {inner!r} is one value: it has no {last}")
            inside[name] = inside = {} if inner is None else dict(inner)
        inside[last] = value
    return result


def _join(deep: re.Match[str]) -> str:
    name, key, rest = deep[0].split(".", 2)
    return f"{name}.{key}{_JOINED}{rest.replace('.', _JOINED)}"
