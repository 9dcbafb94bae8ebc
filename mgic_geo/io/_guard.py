"""What a foreign reader does to a damaged file stays inside."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from mgic_geo.errors import DataError

_LONGEST = 160


@contextmanager
def reading(path: str | os.PathLike[str], kind: str, loggers: Sequence[str] = ()) -> Iterator[None]:
    """Turns whatever is raised into a :class:`DataError` of one line, and keeps logs silent.

    Args:
        path: The file, which the message names.
        kind: Its format, for the message.
        loggers: Names of the loggers of the libraries that read it.
    """
    try:
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for name in loggers:
                stack.enter_context(_silent(logging.getLogger(name)))
            yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path}: not a readable {kind} file: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "it announces more than fits into memory"
    if "pickle" in text:
        return "it holds Python objects, or is no array file at all; pickle is never read"
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return text if type(error) is ValueError and text else f"{type(error).__name__} {text}".strip()


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    handler, propagate = logging.NullHandler(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
