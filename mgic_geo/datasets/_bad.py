"""One report of all files that a data set leaves out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

from mgic_geo.errors import DataError

_SHOWN = 20


def report_bad(
    bad_files: Sequence[tuple[str, str]],
    good: int,
    source: str | os.PathLike[str],
    strict: bool,
    what: str,
) -> None:
    """Warns of files that are left out, on behalf of the class that its caller constructs.

    Args:
        bad_files: ``(name, reason)`` of each.
        good: Number of the others.
        source: Where they come from.
        strict: Raise the first reason instead.
        what: What they are, in the plural.

    Raises:
        DataError: With ``strict``, one is bad.
    """
    if not bad_files:
        return
    if strict:  # a cache was made without
        raise DataError(bad_files[0][1])
    shown = "\n".join(f"  {reason}" for _, reason in bad_files[:_SHOWN])
    more = len(bad_files) - _SHOWN
    warnings.warn(
        f"{source}: {len(bad_files)} of {good + len(bad_files)} {what} are left out:\n{shown}"
        + (f"\n  and {more} more, see bad_files" if more > 0 else ""),
        stacklevel=3,
    )
