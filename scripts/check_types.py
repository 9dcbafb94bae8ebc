"""Checks the types of the code on the site's pages, as a user's project.

python -m scripts.check_types      # by mypy, and by pyright where it is installed
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.docs_numbers import ROOT, pages
from scripts.run_page import blocks


def write_modules(folder: Path) -> list[Path]:
    """A module for each page with Python in it."""
    written = []
    for page in pages():
        code = [text for language, text, _ in blocks(page) if language == "python"]
        if code:
            path = folder / f"{page.parent.name}_{page.stem}.py".replace("-", "_")
            path.write_text("\n".join(code), "utf-8")
            written.append(path)
    return written


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        modules = [path.name for path in write_modules(folder)]
        paths = {**os.environ, "MYPYPATH": str(ROOT)}  # editable installs are not seen by mypy
        options = ["--ignore-missing-imports", "--follow-imports=silent", "--no-incremental"]
        mypy = [sys.executable, "-m", "mypy", *options, *modules]
        failed = subprocess.run(mypy, cwd=folder, env=paths).returncode
        if pyright := shutil.which("pyright"):
            (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}))
            command = [pyright, "--pythonpath", sys.executable]
            failed |= subprocess.run(command, cwd=folder).returncode
        return failed


if __name__ == "__main__":
    sys.exit(main())
