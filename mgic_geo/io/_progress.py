"""Bars that say how far something is."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(progress: bool | None, **kwargs: Any) -> tqdm:
    """A tqdm bar that is off where nobody would see it."""
    return tqdm(disable=not (sys.stderr.isatty() if progress is None else progress), **kwargs)
