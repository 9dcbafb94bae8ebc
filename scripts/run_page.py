"""Runs the code of a page of the site, block after block, as a reader would.

    python -m scripts.run_page docs/tutorials/scans.md             # in a folder of its own
    python -m scripts.run_page docs/tutorials/*.md --keep-pictures   # and take the pictures over

Python blocks share their names; lines of shell blocks are commands of ``mgic-geo``.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")

_BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PICTURE = re.compile(r"!\[[^\]]*\]\((pictures/[^)]+)\)")


def blocks(page: Path) -> Iterator[tuple[str, str, int]]:
    """Language, code and first line of each block."""
    text = page.read_text("utf-8")
    for match in _BLOCK.finditer(text):
        yield match[1], match[2], text.count("\n", 0, match.start(2)) + 1


def pictures(page: Path) -> list[str]:
    """The pictures that a page shows, by their paths from it."""
    return _PICTURE.findall(page.read_text("utf-8"))


def run_page(page: Path, folder: Path) -> None:
    """Runs all blocks of a page with ``folder`` as the current one.

    Raises:
        AssertionError: A block asserts what does not hold, or a shown picture was not drawn.
        RuntimeError: A command fails.
    """
    (folder / "pictures").mkdir()
    names: dict[str, Any] = {"__name__": "__page__"}
    with _inside(folder):
        for language, code, line in blocks(page):
            if language == "python":
                exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)
            else:
                _run_commands(code)
    lacking = [name for name in pictures(page) if not (folder / name).is_file()]
    assert not lacking, f"{page.name} shows {lacking}, which its code did not draw"


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """``contextlib.chdir``, which Python 3.10 lacks."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _run_commands(code: str) -> None:
    from mgic_geo.cli import main

    for line in code.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line, comments=True) or [""]
        if program == "mgic-geo" and main(arguments) != 0:
            raise RuntimeError(f"{line}: failed")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument(
        "--keep-pictures", action="store_true", help="put the drawn pictures beside the page"
    )
    options = parser.parse_args(argv)
    for page in options.pages:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run_page(page.resolve(), Path(folder))
            if options.keep_pictures:
                for name in pictures(page):
                    (page.parent / name).parent.mkdir(exist_ok=True)
                    shutil.copy(Path(folder) / name, page.parent / name)
        print(f"{page}: {time.perf_counter() - start:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
