"""What the commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def print_json(value: Any) -> None:
    """Prints one JSON value and nothing else."""
    print(json.dumps(value, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints aligned columns, numbers to the right and in groups of three digits."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    right = [not rows or _is_number(rows[0][i]) for i in range(len(header))]
    width = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    for line in (header, ["-" * w for w in width], *cells):
        padded = [
            cell.rjust(w) if to_right else cell.ljust(w)
            for cell, w, to_right in zip(line, width, right, strict=True)
        ]
        print("  ".join(padded).rstrip())


def message(error: BaseException) -> str:
    """What a user can read of an error; of the system's errors the file and the reason."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def one_line(error: BaseException) -> str:
    """The same in one line, and what kind of error it is where it is none of ours."""
    text = " ".join(message(error).split())
    expected = isinstance(error, ValueError | OSError | ImportError)
    return text if expected and text else f"{type(error).__name__}: {text}".removesuffix(": ")


def percent(share: float | None) -> str:
    """A share as a percentage; a dash for none."""
    return "-" if share is None or share != share else f"{100.0 * share:.2f} %"


def _is_number(cell: Any) -> bool:
    return isinstance(cell, int) or str(cell)[:1].isdigit() or cell == "-"
